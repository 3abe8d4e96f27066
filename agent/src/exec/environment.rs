//! The environment, the search path and the working directory of a new program.

use std::ffi::CString;

use wasm_sandbox_protocol::agent::{Exec, FailureCode};

use crate::failure::Refusal;
use crate::user::User;

/// Where programs are looked for unless the request says otherwise.
const PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The strings the kernel gets.
pub struct Environment {
    /// `NAME=value`.
    pub strings: Vec<CString>,
    /// The value of `PATH`.
    path: Vec<u8>,
}

impl Environment {
    /// The defaults for a user with the request's own variables over them.
    pub fn new(exec: &Exec, user: &User) -> Result<Self, Refusal> {
        let mut variables: Vec<(&[u8], &[u8])> = Vec::with_capacity(8 + exec.env.len());
        if !exec.clear_env {
            let terminal: &[u8] = if exec.pty.is_some() { b"xterm-256color" } else { b"dumb" };
            variables.extend([
                (b"PATH".as_slice(), PATH),
                (b"HOME", &user.home),
                (b"USER", &user.name),
                (b"LOGNAME", &user.name),
                (b"SHELL", &user.shell),
                (b"LANG", b"C.UTF-8"),
                (b"TERM", terminal),
            ]);
        }
        for (name, value) in &exec.env {
            let name = name.as_slice();
            if name.is_empty() || name.contains(&b'=') {
                let name = String::from_utf8_lossy(name).into_owned();
                let message = format!("{name:?} cannot be the name of an environment variable");
                return Err(Refusal::new(FailureCode::InvalidArgument, message));
            }
            match variables.iter_mut().find(|(known, _)| *known == name) {
                Some(slot) => slot.1 = value,
                None => variables.push((name, value)),
            }
        }
        let path =
            variables.iter().find(|(name, _)| *name == b"PATH").map_or(PATH, |(_, value)| value).to_vec();
        let strings =
            variables.iter().map(|(name, value)| c_string(&[name, b"=", value], "an environment variable"));
        Ok(Self { strings: strings.collect::<Result<_, _>>()?, path })
    }

    /// The paths that `name` may mean.
    pub fn candidates(&self, name: &[u8]) -> Result<Vec<CString>, Refusal> {
        if name.contains(&b'/') {
            return Ok(vec![c_string(&[name], "the program")?]);
        }
        let directories = self.path.split(|byte| *byte == b':');
        directories
            .map(|directory| match directory {
                b"" => c_string(&[b"./", name], "the program"),
                _ => c_string(&[directory, b"/", name], "the program"),
            })
            .collect()
    }
}

/// Joins parts to a string for the kernel.
pub fn c_string(parts: &[&[u8]], what: &str) -> Result<CString, Refusal> {
    CString::new(parts.concat())
        .map_err(|_| Refusal::new(FailureCode::InvalidArgument, format!("{what} contains a NUL byte")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(exec: &Exec) -> Vec<String> {
        let environment = Environment::new(exec, &User::root()).expect("valid");
        environment.strings.into_iter().map(|string| string.into_string().expect("text")).collect()
    }

    #[test]
    fn requested_variables_replace_defaults_and_come_once() {
        let env = vec![("TERM".into(), "vt100".into()), ("A".into(), "1".into()), ("A".into(), "2".into())];
        let all = strings(&Exec { env, ..Exec::default() });
        assert!(
            all.contains(&"TERM=vt100".into())
                && all.contains(&"A=2".into())
                && all.contains(&"HOME=/root".into())
        );
        assert_eq!(
            all.iter().filter(|string| string.starts_with("A=") || string.starts_with("TERM=")).count(),
            2
        );
    }

    #[test]
    fn a_cleared_environment_has_only_what_was_asked_for() {
        let env = vec![("A".into(), "1".into())];
        assert_eq!(strings(&Exec { env, clear_env: true, ..Exec::default() }), ["A=1"]);
    }

    #[test]
    fn the_search_follows_the_requested_path() {
        let env = vec![("PATH".into(), "/x::/y".into())];
        let environment = Environment::new(&Exec { env, ..Exec::default() }, &User::root()).expect("valid");
        let found = environment.candidates(b"ls").expect("valid");
        assert_eq!(found, [c"/x/ls".into(), c"./ls".into(), CString::from(c"/y/ls")]);
        assert_eq!(environment.candidates(b"./ls").expect("valid"), [CString::from(c"./ls")]);
    }

    #[test]
    fn impossible_names_are_refused() {
        for name in ["", "A=B", "A\0"] {
            let env = vec![(name.into(), "1".into())];
            let refusal =
                Environment::new(&Exec { env, ..Exec::default() }, &User::root()).err().expect(name);
            assert_eq!(refusal.code, FailureCode::InvalidArgument);
        }
    }
}
