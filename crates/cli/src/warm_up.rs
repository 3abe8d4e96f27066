//! What the machine does before its snapshot is taken, so that page cache and translated code of the
//! usual tools are in it.

use std::iter::repeat_n;

use wasm_sandbox::EngineKind;
use wasm_sandbox::protocol::json::{Language, ReadFile, Request, RunCode, SessionClose, Shell, WriteFile};

/// How often everything runs. v86 begins to translate after 200 000 instructions in a page; wx86 decodes what it
/// meets.
const fn rounds(engine: EngineKind) -> usize {
    match engine {
        EngineKind::V86 => 5,
        EngineKind::Wx86 => 1,
    }
}

/// Shells started at the end. With v86 what all requests have in common is translated to its last page by then; wx86
/// needs only the agent's waiting shells, which are used in turns.
const fn shells(engine: EngineKind) -> usize {
    match engine {
        EngineKind::V86 => 3000,
        EngineKind::Wx86 => SHELLS,
    }
}

/// Enough for all waiting shells to have their turn.
const SHELLS: usize = 30;

/// Code that was executed this often, since it was forgotten, is translated: all loops, and what every command needs. Machine
/// code takes several times the room of decoded code, and for what is executed once in a while it is not worth that.
pub const OFTEN: u32 = 60;

/// Commands that together use what most sandboxes use.
const COMMANDS: [&str; 15] = [
    "true",
    "echo hi",
    "for i in $(seq 200); do x=$((x + i)); done; echo $x; [ -d /tmp ] && pwd; (cd /; type ls)",
    "ls -la / /usr/bin | sort | uniq -c | sort -rn | head -3 | wc -l; cat /etc/passwd | cut -d: -f1 | tr a-z A-Z | tail -1",
    "grep -rn root /etc/passwd /etc/group | sed s/root/x/ | awk '{n += length($0)} END {print n}'",
    "python3 -c 'print(1)'",
    "python3 -c 'print(sum(range(200000)), sum(i * i % 7 for i in range(30000)), \"-\".join(map(str, range(3000)))[:9])'",
    "python3 -c 'import json,re,os,sys,subprocess,collections; print(len(json.dumps(sorted({str(i): i for i in range(2000)}))), re.sub(\"a+\", \"b\", \"caaat\"))'",
    "seq 20000 | sort | uniq -c | sort -rn | tail -1; seq 3000 | gzip | gunzip | sha256sum",
    "mkdir -p /tmp/w && cd /tmp/w && tar cf t.tar /etc/hosts /etc/passwd 2>/dev/null; tar tf t.tar | wc -l; find /etc -name 'p*' | wc -l; rm -rf /tmp/w",
    "sh -c 'i=0; while [ $i -lt 300 ]; do i=$((i + 1)); case $i in 7) echo $i;; esac; done' | wc -l; head -c 100000 /dev/zero | sha256sum",
    "sqlite3 :memory: 'create table t(a integer, b text); with recursive c(x) as (select 1 union all select x + 1 from c where x < 300) insert into t select x, hex(x) from c; select count(*), sum(a), max(b) from t where a % 3 = 1 group by a % 7;'",
    "for i in 1 2 3 4 5 6 7 8; do /bin/true; uname -a > /dev/null; date > /dev/null; done; ps ax | wc -l; df / | tail -1; env | wc -l",
    "git --version; jq -n '[range(100)] | add'; echo 'select 1+1;' | sqlite3",
    "python3 - <<'EOF'\ndef fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\nprint(fib(16))\nEOF",
];

/// Commands that together use the other tools of the image: programs that nobody has executed before are interpreted. Not with v86,
/// which translates them when they are executed.
const OTHERS: [&str; 8] = [
    "f() { local s=$1 n=0; while [[ $s == *a* ]]; do s=${s/a/b}; n=$((n + 1)); done; echo \"$n ${s^^} ${#s}\"; }; a=(); for ((i = 0; i < 200; i++)); do a+=(\"a$i\"); done; f \"${a[*]:0:60}\" | tail -c 20; printf '%s\n' \"${a[@]}\" | while read -r x; do echo \"${x%0}\"; done | wc -l",
    "busybox ash -c 'i=0; while [ $i -lt 300 ]; do i=$((i+1)); done; echo $i'; busybox seq 500 | busybox awk '{s += $1} END {print s}'",
    "awk 'BEGIN {for (i = 0; i < 3000; i++) s[i % 10] += i; for (k in s) print k, s[k]}' | sort -n | tail -1; seq 2000 | sed -n 's/1/x/gp' | wc -l",
    "perl -e 'my %h; for (1..3000) { $h{$_ % 7} .= \"a\"; $s += $_ } $_ = \"ab\" x 500; s/b/c/g; print length, \" $s\\n\"'",
    "rm -rf /tmp/w && mkdir /tmp/w && cd /tmp/w && export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a && git init -q . && for i in 1 2 3; do seq $((300 + i)) > a; git add . && git commit -qm a; done; seq 310 > a; git diff --stat | tail -1; git log --oneline | wc -l; git status --short; cd /; rm -rf /tmp/w",
    "seq 20000 > /tmp/w; for c in gzip bzip2 xz zstd; do $c -c < /tmp/w | $c -dc | wc -c; done; openssl sha256 < /tmp/w; diff /tmp/w <(seq 2 20000) | wc -l; tar c /etc/passwd 2>/dev/null | zstd | wc -c; rm /tmp/w",
    "python3 - <<'EOF'\nimport collections, csv, datetime, hashlib, io, itertools, random, string\nclass Point:\n    def __init__(self, x, y):\n        self.x, self.y = x, y\n    def __add__(self, other):\n        return Point(self.x + other.x, self.y + other.y)\ntotal = Point(0, 0)\nfor i in range(1000):\n    total += Point(i, i * 0.5)\nwords = collections.Counter(random.choice(string.ascii_letters) for _ in range(1000))\nout = io.StringIO()\ncsv.writer(out).writerows((i, f'{i:05d}', 'x' * (i % 5)) for i in range(300))\ntry:\n    {}['a']\nexcept KeyError as error:\n    pass\nrows = list(csv.reader(io.StringIO(out.getvalue())))\nprimes = [n for n in range(2, 500) if all(n % d for d in range(2, int(n ** 0.5) + 1))]\nmatrix = [[sum(a * b for a, b in zip(row, column)) for column in zip(*[[1, 2], [3, 4]])] for row in [[5, 6], [7, 8]] * 50]\nprint(total.x, len(words), len(rows), len(primes), len(matrix), hashlib.sha256(out.getvalue().encode()).hexdigest()[:4],\n      datetime.date(2024, 1, 1) + datetime.timedelta(days=9), len(list(itertools.permutations(range(6)))), sorted(words)[:2])\nEOF",
    "curl -s file:///etc/passwd | wc -l; hexdump -C /etc/passwd | tail -1; patch --version | head -1; file /bin/bash | wc -c; zip -q /tmp/w.zip /etc/passwd && unzip -p /tmp/w.zip | wc -l; rm -f /tmp/w.zip",
];

/// Plenty, in milliseconds.
const TIME: Option<u64> = Some(120_000);

/// A file that comes and goes.
const FILE: &str = "/tmp/.warm-up";

/// The whole warm-up.
pub fn requests(engine: EngineKind) -> Vec<Request> {
    let mut requests = Vec::new();
    for _ in 0..rounds(engine) {
        requests.extend(commands());
        requests.extend(file(1 << 10));
        requests.extend(file(4 << 20));
    }
    requests.extend(repeat_n(shell("echo hi"), shells(engine)));
    for _ in 0..rounds(engine) {
        requests.extend(sessions());
    }
    requests.push(clean_up());
    requests
}

/// What the machine does again after its code was [forgotten](wasm_sandbox::Sandbox::renew_code), the most frequent first:
/// so the code of what nearly all requests have in common lies together.
pub fn again(engine: EngineKind) -> Vec<Request> {
    if engine == EngineKind::V86 {
        return Vec::new();
    }
    let frequent = repeat_n(shell("echo hi"), SHELLS).chain(file(1 << 10));
    let others = OTHERS.iter().map(|command| shell(command));
    frequent
        .chain(commands())
        .chain(file(4 << 20))
        .chain(sessions())
        .chain(others)
        .chain([clean_up()])
        .collect()
}

fn commands() -> impl Iterator<Item = Request> {
    COMMANDS.iter().map(|command| shell(command))
}

/// A file of this size comes, and is read.
fn file(size: usize) -> [Request; 2] {
    let content = "x".repeat(size);
    [
        WriteFile { path: FILE.into(), content, ..WriteFile::default() }.into(),
        ReadFile { path: FILE.into(), ..ReadFile::default() }.into(),
    ]
}

fn sessions() -> Vec<Request> {
    let session = Some("warm-up".to_owned());
    let in_bash = ["cd /tmp; x=1", "ls -la; echo $x"].map(|command| {
        let (command, session) = (command.to_owned(), session.clone());
        Shell { command, session, time_limit_ms: TIME, ..Shell::default() }.into()
    });
    let in_python =
        ["x = [n * n for n in range(1000)]\nsum(x)", "import json, re, os, sys\nprint(len(json.dumps(x)))"]
            .map(python);
    let ends = [None, Some(Language::Python)]
        .map(|language| SessionClose { session: "warm-up".into(), language }.into());
    in_bash.into_iter().chain(in_python).chain(ends).collect()
}

fn clean_up() -> Request {
    shell(&format!("rm -f {FILE}; sync"))
}

fn shell(command: &str) -> Request {
    Shell { time_limit_ms: TIME, ..Shell::new(command) }.into()
}

fn python(code: &str) -> Request {
    RunCode {
        language: Language::Python,
        code: code.into(),
        context: Some("warm-up".into()),
        cwd: None,
        env: Default::default(),
        time_limit_ms: TIME,
        max_output_bytes: None,
        encoding: Default::default(),
        stream: false,
    }
    .into()
}
