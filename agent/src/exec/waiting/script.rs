//! Which requests a waiting shell can run, and what it is told: on its way to the gate, and before the command.

use std::io::Write;

use rustix::fs::Access;
use wasm_sandbox_protocol::agent::{Exec, Stdin};

use super::places::SEED;
use super::shell::{BASH, ROOM};

/// The longest script: it must fit into a FIFO at once.
const LONGEST: usize = 48 << 10;

/// The longest path of a working directory.
const LONGEST_PATH: usize = 1024;

/// Variables, or with a `*` families of them, that bash or the loader treats in a special way at the start.
const SPECIAL: &[&str] = &[
    "_",
    "BASH*",
    "CDPATH",
    "CHILD_MAX",
    "COLUMNS",
    "COMP_*",
    "COMPREPLY",
    "COPROC",
    "DIRSTACK",
    "EMACS",
    "ENV",
    "EPOCH*",
    "EUID",
    "EXECIGNORE",
    "FCEDIT",
    "FIGNORE",
    "FUNCN*",
    "GCONV_PATH",
    "GETCONF_DIR",
    "GLIBC_*",
    "GLOB*",
    "GROUPS",
    "HIST*",
    "HOST*",
    "IFS",
    "IGNOREEOF",
    "INPUTRC",
    "INSIDE_EMACS",
    "LANGUAGE",
    "LD_*",
    "LINENO",
    "LINES",
    "LOCPATH",
    "MACHTYPE",
    "MAIL*",
    "MALLOC_*",
    "MAPFILE",
    "NLSPATH",
    "OLDPWD",
    "OPT*",
    "OSTYPE",
    "PIPESTATUS",
    "POSIX*",
    "PPID",
    "PROMPT_*",
    "PS0",
    "PS1",
    "PS2",
    "PS3",
    "PS4",
    "PWD",
    "RANDOM",
    "READLINE_*",
    "REPLY",
    "SECONDS",
    "SHELLOPTS",
    "SHLVL",
    "SRANDOM",
    "SSH*",
    "TERM*",
    "TEXTDOMAIN*",
    "TMOUT",
    "TZ",
    "UID",
    "auto_resume",
    "histchars",
    "ignoreeof",
];

/// Whether a request is one that a waiting shell can run, its variables and directory not considered.
pub fn suits(exec: &Exec) -> bool {
    let [program, option, command] = exec.argv.as_slice() else { return false };
    program.as_slice() == BASH.as_bytes()
        && option.as_slice() == b"-c"
        && command.len() <= ROOM
        && !command.contains(&0)
        && !exec.clear_env
        && exec.user.is_none()
        && exec.stdin == Stdin::Null
        && exec.pty.is_none()
        && exec.cpu_time_limit_ms.is_none()
}

/// What leads a shell to the gate. It does everything that is the same for all requests, so that little is left to do behind
/// the gate.
///
/// The last argument of the last command is `$_`.
pub fn to_the_gate(gate: &str) -> Option<Vec<u8>> {
    let mut script = format!("unset BASH_ENV\nRANDOM={SEED}\n. ").into_bytes();
    quote(gate.as_bytes(), &mut script)?;
    script.extend_from_slice(b" /bin/bash\n");
    Some(script)
}

/// What to tell the shell; `None` if it cannot be told.
///
/// A waiting shell may be in a snapshot and go on in many machines, so it must be told a new random number for each request:
/// `random`, unless that, the command and the time are put in their [places](super::places).
pub fn write(exec: &Exec, random: Option<u32>) -> Option<Vec<u8>> {
    let command = exec.argv.get(2)?;
    let mut script = Vec::with_capacity(256 + command.len());
    if let Some(directory) = &exec.cwd {
        let inside = [directory.as_slice(), b"/."].concat();
        // `//x` is kept as it is by `cd`, but not by a new shell.
        if !directory.starts_with(b"/")
            || directory.starts_with(b"//")
            || directory.len() > LONGEST_PATH
            || rustix::fs::access(inside.as_slice(), Access::EXISTS).is_err()
        {
            return None;
        }
        script.extend_from_slice(b"builtin cd -P -- ");
        quote(directory, &mut script)?;
        // As at the start: exported, but without a value.
        script.extend_from_slice(b" || exit\nunset OLDPWD\nexport OLDPWD\n");
    }
    for (name, value) in &exec.env {
        if !is_ordinary(name, value) {
            return None;
        }
        script.extend_from_slice(b"export ");
        script.extend_from_slice(name);
        script.push(b'=');
        quote(value, &mut script)?;
        script.push(b'\n');
    }
    if let Some(random) = random {
        write!(script, "SECONDS=0 RANDOM={} BASH_EXECUTION_STRING=", random.max(1)).ok()?;
        quote(command, &mut script)?;
    }
    // Never empty: what is left in the gate says that the shell has not begun.
    script.push(b'\n');
    (script.len() <= LONGEST).then_some(script)
}

/// Whether a variable means the same to bash whether it finds it at the start or is told later.
fn is_ordinary(name: &[u8], value: &[u8]) -> bool {
    let mut letters = name.iter();
    let identifier = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || *letter == b'_');
    let special = SPECIAL.iter().any(|special| match special.strip_suffix('*') {
        Some(family) => name.starts_with(family.as_bytes()),
        None => name == special.as_bytes(),
    });
    // A locale that does not exist is complained about, and the words depend on the moment.
    let locale = name == b"LANG" || name.starts_with(b"LC_");
    identifier && !special && (!locale || [b"C".as_slice(), b"POSIX", b"C.UTF-8"].contains(&value))
}

/// Appends text as one word; `None` if it contains something that bash might not take literally.
fn quote(text: &[u8], script: &mut Vec<u8>) -> Option<()> {
    let text = std::str::from_utf8(text).ok()?;
    if text.bytes().any(|byte| (byte < b' ' && byte != b'\n' && byte != b'\t') || byte == 0x7f) {
        return None;
    }
    script.push(b'\'');
    for (index, part) in text.split('\'').enumerate() {
        if index > 0 {
            script.extend_from_slice(b"'\\''");
        }
        script.extend_from_slice(part.as_bytes());
    }
    script.push(b'\'');
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bash(command: &str) -> Exec<'_> {
        Exec { argv: vec![BASH.into(), "-c".into(), command.into()], ..Exec::default() }
    }

    #[test]
    fn only_plain_requests_suit() {
        assert!(suits(&bash("")) && suits(&bash(&"x".repeat(ROOM))));
        assert!(!suits(&bash(&"x".repeat(ROOM + 1))));
        assert!(!suits(&Exec { clear_env: true, ..bash("x") }));
        assert!(!suits(&Exec { user: Some("root".into()), ..bash("x") }));
        assert!(!suits(&Exec { stdin: Stdin::Stream, ..bash("x") }));
        assert!(!suits(&Exec { cpu_time_limit_ms: Some(1), ..bash("x") }));
        let mut more = bash("x");
        more.argv.push("y".into());
        assert!(!suits(&more));
        assert!(!suits(&bash("a\0b")));
    }

    #[test]
    fn variables_that_are_special_at_the_start_are_left_to_a_new_shell() {
        for (name, fits) in [
            ("A", true),
            ("_x9", true),
            ("PATH", true),
            ("HOME", true),
            ("", false),
            ("A-B", false),
            ("9", false),
            ("BASH_ENV", false),
            ("UID", false),
            ("LD_PRELOAD", false),
            ("SHELLOPTS", false),
            ("TZ", false),
        ] {
            let env = vec![(name.into(), "value".into())];
            assert_eq!(write(&Exec { env, ..bash("x") }, Some(1)).is_some(), fits, "{name}");
        }
        for (value, fits) in [("C", true), ("xx_YY", false)] {
            let env = vec![("LC_ALL".into(), value.into())];
            assert_eq!(write(&Exec { env, ..bash("x") }, Some(1)).is_some(), fits, "{value}");
        }
    }

    #[test]
    fn values_are_quoted() {
        let env = vec![("A".into(), "it's\n$x".into())];
        let script = write(&Exec { env, ..bash("echo") }, Some(0)).expect("fits");
        let script = String::from_utf8(script).expect("text");
        assert!(script.starts_with("export A='it'\\''s\n$x'\n"), "{script}");
        assert!(script.contains("RANDOM=1 BASH_EXECUTION_STRING='echo'\n"), "{script}");
        assert_eq!(write(&bash("it's"), None).as_deref(), Some(b"\n".as_slice()));
        let way = String::from_utf8(to_the_gate("/it's/7").expect("a path")).expect("text");
        assert!(way.ends_with("\n. '/it'\\''s/7' /bin/bash\n"), "{way}");
        let env = vec![("A".into(), b"\xff".as_slice().into())];
        assert!(write(&Exec { env, ..bash("echo") }, Some(0)).is_none());
    }

    #[test]
    fn directories_must_be_absolute_and_exist() {
        let with = |cwd: &'static str| write(&Exec { cwd: Some(cwd.into()), ..bash("x") }, None);
        assert!(with("/").is_some());
        assert!(
            with("tmp").is_none()
                && with("//tmp").is_none()
                && with("/nonexistent").is_none()
                && with("/etc/passwd").is_none()
        );
    }
}
