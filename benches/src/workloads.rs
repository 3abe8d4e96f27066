//! Work for a processor: commands with known output.

/// How much of each: what a few minutes allow, or what the goals name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Size {
    /// Seconds each.
    Quick,
    /// As the goals say.
    Full,
}

/// One piece of work.
#[derive(Clone, Debug)]
pub struct Workload {
    /// What it is called.
    pub name: String,
    /// Commands that prepare it, without being timed.
    pub prepare: Vec<String>,
    /// The command that is timed.
    pub command: String,
    /// What the timed command writes.
    pub expected: String,
    /// A command that looks at the result, and what it writes, where the output does not show it.
    pub check: Option<(String, String)>,
}

impl Workload {
    fn new(name: impl Into<String>, command: impl Into<String>, expected: impl Into<String>) -> Self {
        let expected = format!("{}\n", expected.into());
        Self { name: name.into(), prepare: Vec::new(), command: command.into(), expected, check: None }
    }

    fn after(mut self, command: impl Into<String>) -> Self {
        self.prepare.push(command.into());
        self
    }

    /// A program for python3, in a file.
    fn python(name: impl Into<String>, program: &str, expected: impl Into<String>) -> Self {
        let file = "/tmp/program.py";
        // printf's own escapes carry the line breaks; everything is on one line.
        let text = program.trim().replace('\\', "\\\\").replace('%', "%%").replace('\n', "\\n");
        Self::new(name, format!("python3 {file}"), expected).after(format!("printf '{text}\\n' > {file}"))
    }
}

/// The name of the work with a goal of its own.
pub const FORK_AND_EXEC: &str = "300 x fork and exec";

/// All of it.
pub fn all(size: Size) -> Vec<Workload> {
    let pick = |quick: u64, full: u64| if size == Size::Quick { quick } else { full };
    let count_up = |n: u64| format!("i=0; while [ $i -lt {n} ]; do i=$((i+1)); done; echo $i");
    let (ash, bash) = (pick(20_000, 200_000), pick(8_000, 50_000));
    let (sha, gzip) = (pick(8, 64), pick(1, 16));
    let (fib, nested) = (pick(20, 25), pick(200_000, 500_000));
    let (json, regex, rows) = (pick(400, 2000), pick(100, 400), pick(5_000, 20_000));
    let sum_of_rows = 7 * rows * (rows + 1) / 2;
    vec![
        Workload::new(
            format!("ash loop, {ash}"),
            format!("busybox ash -c '{}'", count_up(ash)),
            ash.to_string(),
        ),
        Workload::new(format!("bash loop, {bash}"), count_up(bash), bash.to_string()),
        Workload::new(format!("sha256sum, {sha} MB"), "sha256sum < /tmp/zeros", sha_of_zeros(sha))
            .after(format!("head -c {sha}M /dev/zero > /tmp/zeros")),
        Workload {
            check: Some(("zcat /tmp/text.gz | cmp - /tmp/text && echo same".into(), "same\n".into())),
            ..Workload::new(format!("gzip, {gzip} MB"), "gzip -c /tmp/text > /tmp/text.gz; echo $?", "0")
                .after(format!("seq 9999999 | head -c {gzip}M > /tmp/text"))
        },
        Workload::new(FORK_AND_EXEC, "for i in {1..300}; do /bin/busybox true; done; echo $i", "300"),
        Workload::python(
            format!("python fib({fib})"),
            &format!("def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\nprint(fib({fib}))"),
            if size == Size::Quick { "6765" } else { "75025" },
        ),
        Workload::python(
            format!("python nested loops, {nested}"),
            &format!(
                "n = 0\nfor i in range({nested} // 1000):\n    for j in range(1000):\n        n += (i ^ j) & 1\nprint(n)"
            ),
            (nested / 2).to_string(),
        ),
        Workload::python(
            format!("python json, {json}"),
            &format!(
                "import json\nd = [dict(k=i, v=[i] * 5, s=str(i) * 3) for i in range({json})]\nfor i in range(5):\n    d = json.loads(json.dumps(d, sort_keys=True))\nprint(sum(e[\"k\"] for e in d))"
            ),
            (json * (json - 1) / 2).to_string(),
        ),
        Workload::python(
            format!("python regex, {regex}"),
            &format!(
                "import re\nt = \"the quick brown fox, tel. 555-1234, jumps over a@b.org. \" * {regex}\nprint(len(re.findall(r\"(\\d+)-(\\d+)\", t)), len(re.sub(r\"[aeiou]+\", \"\", t)), len(re.findall(r\"\\w+@\\w+[.]\\w+\", t)))"
            ),
            format!("{regex} {} {regex}", 45 * regex),
        ),
        Workload::new(
            format!("sqlite, {rows} rows"),
            format!(
                "sqlite3 :memory: 'create table t(a integer primary key, b, c); with recursive n(i) as (select 1 union all select i+1 from n where i<{rows}) insert into t select i, i*7, hex(i) from n; create index x on t(c); select sum(b), count(distinct c) from t; select count(*) from t x join t y on x.c=y.c;'"
            ),
            format!("{sum_of_rows}|{rows}\n{rows}"),
        ),
    ]
}

/// SHA-256 of so many megabytes of zeros, as sha256sum writes it.
fn sha_of_zeros(megabytes: u64) -> &'static str {
    match megabytes {
        8 => "2daeb1f36095b44b318410b3f4e8b5d989dcc7bb023d1426c492dab0a3053e74  -",
        _ => "3b6a07d0d404fab4e23b6d34bc6696a6a312dd92821332385e5af7c01c421351  -",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_lines() {
        for size in [Size::Quick, Size::Full] {
            for work in all(size) {
                let commands = work.prepare.iter().chain([&work.command]);
                assert!(commands.clone().all(|command| !command.contains('\n')), "{work:?}");
                assert!(
                    commands.clone().all(|command| command.len() < 1000),
                    "too long for a terminal: {work:?}"
                );
            }
        }
    }
}
