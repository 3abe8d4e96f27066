//! What is sent to shells and interpreters that are kept.

use std::collections::BTreeMap;

/// The interpreter's own part; see there for what goes in and out.
pub(super) const PYTHON_DRIVER: &str = include_str!("python_driver.py");

/// What a new shell is told first: the streams it has now are those that marks go to, whatever `exec` does later.
pub(super) fn bash_preamble(nonce: &str) -> String {
    format!(
        "exec 200>&1 201>&2; __wasm_sandbox_end() {{ builtin printf '\\036{nonce}:%d\\036' \"$1\" >&200; \
         builtin printf '\\036{nonce}:\\036' >&201; return \"$1\"; }}\n"
    )
}

/// Has the shell run the file `script`, and say when it is done.
pub(super) fn bash_line(script: &str, stdin: Option<&str>) -> String {
    let stdin = stdin.unwrap_or("/dev/null");
    format!(". {script} < {stdin}; __wasm_sandbox_end $?\n")
}

/// The file that the shell runs: `command` in the directory and with the variables asked for.
pub(super) fn bash_script(command: &str, cwd: Option<&str>, env: &BTreeMap<String, String>) -> String {
    let mut script = String::new();
    for (name, value) in env {
        script += &format!("export {name}={}\n", quote(value));
    }
    if let Some(cwd) = cwd {
        script += &format!("cd -- {} || return\n", quote(cwd));
    }
    script + command + "\n"
}

/// Whether bash takes `name` for a variable's.
pub(super) fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_sets_what_was_asked_for_first() {
        let env = BTreeMap::from([("A".to_owned(), "it's".to_owned())]);
        assert_eq!(
            bash_script("pwd", Some("/tmp/x y"), &env),
            "export A='it'\\''s'\ncd -- '/tmp/x y' || return\npwd\n"
        );
    }

    #[test]
    fn variables_have_names() {
        assert!(
            is_variable("A_1")
                && is_variable("_")
                && !is_variable("1A")
                && !is_variable("A B")
                && !is_variable("")
        );
    }
}
