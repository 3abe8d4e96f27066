//! Users and groups of the guest, from `/etc/passwd` and `/etc/group`.
//!
//! Read by hand because the C library's own lookup loads shared objects, which a static program cannot.

use rustix::process::{Gid, Uid};
use wasm_sandbox_protocol::agent::FailureCode;

use crate::failure::Refusal;

/// Whom a program runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name; the number in decimal when it has none.
    pub name: Vec<u8>,
    /// User identifier.
    pub uid: Uid,
    /// Primary group.
    pub gid: Gid,
    /// All groups, the primary one included.
    pub groups: Vec<Gid>,
    /// Home directory.
    pub home: Vec<u8>,
    /// Login shell.
    pub shell: Vec<u8>,
}

impl User {
    /// The superuser, without looking at any file: this is every command that does not ask for somebody else.
    pub fn root() -> Self {
        Self {
            name: b"root".into(),
            uid: Uid::ROOT,
            gid: Gid::ROOT,
            groups: vec![Gid::ROOT],
            home: b"/root".into(),
            shell: b"/bin/bash".into(),
        }
    }

    /// Finds `name`, `uid`, `name:group` or `uid:gid` in the guest's files.
    pub fn find(wanted: &[u8]) -> Result<Self, Refusal> {
        let read = |path: &str| std::fs::read(path).unwrap_or_default();
        Self::find_in(wanted, &read("/etc/passwd"), &read("/etc/group"))
    }

    fn find_in(wanted: &[u8], passwd: &[u8], group: &[u8]) -> Result<Self, Refusal> {
        let unknown = |what: &str, name: &[u8]| {
            let name = String::from_utf8_lossy(name);
            Refusal::new(FailureCode::BadUser, format!("there is no {what} {name:?} in the guest"))
        };
        let mut parts = wanted.splitn(2, |byte| *byte == b':');
        let user_part = parts.next().unwrap_or_default();
        let group_part = parts.next();

        let number = parse_number(user_part);
        let line = lines(passwd).find(|fields| match number {
            Some(number) => fields.get(2).and_then(|uid| parse_number(uid)) == Some(number),
            None => !user_part.is_empty() && fields.first() == Some(&user_part),
        });
        let mut user = match (line, number) {
            (Some(fields), _) => {
                let field = |index: usize| fields.get(index).copied().unwrap_or_default();
                let id = |index: usize| parse_number(field(index)).ok_or_else(|| unknown("user", user_part));
                User {
                    name: field(0).into(),
                    uid: Uid::from_raw(id(2)?),
                    gid: Gid::from_raw(id(3)?),
                    groups: Vec::new(),
                    home: field(5).into(),
                    shell: field(6).into(),
                }
            }
            // A number needs no entry; then it has no home either.
            (None, Some(number)) => User {
                name: user_part.into(),
                uid: Uid::from_raw(number),
                gid: Gid::from_raw(number),
                groups: Vec::new(),
                home: b"/".into(),
                shell: b"/bin/sh".into(),
            },
            (None, None) => return Err(unknown("user", user_part)),
        };
        if let Some(wanted) = group_part {
            let found = lines(group).find(|fields| fields.first() == Some(&wanted));
            let id = found.and_then(|fields| parse_number(fields.get(2)?)).or_else(|| parse_number(wanted));
            user.gid = Gid::from_raw(id.ok_or_else(|| unknown("group", wanted))?);
        }
        user.groups.push(user.gid);
        for fields in lines(group) {
            let member = fields
                .get(3)
                .is_some_and(|names| names.split(|byte| *byte == b',').any(|name| name == user.name));
            if let Some(id) = fields.get(2).and_then(|id| parse_number(id)).filter(|_| member) {
                let id = Gid::from_raw(id);
                if !user.groups.contains(&id) {
                    user.groups.push(id);
                }
            }
        }
        Ok(user)
    }
}

/// Names of users and groups, read when the first is asked for.
#[derive(Default)]
pub struct Names {
    files: Option<[Vec<u8>; 2]>,
    /// Answers given: the same few come again and again.
    known: [Vec<(u32, Vec<u8>)>; 2],
}

impl Names {
    /// The name of a user, or the number in decimal.
    pub fn user(&mut self, uid: u32) -> &[u8] {
        self.find(0, uid)
    }

    /// The name of a group, or the number in decimal.
    pub fn group(&mut self, gid: u32) -> &[u8] {
        self.find(1, gid)
    }

    fn find(&mut self, which: usize, id: u32) -> &[u8] {
        /// More different owners than this are not remembered.
        const KNOWN: usize = 64;
        let index = match self.known[which].iter().position(|(known, _)| *known == id) {
            Some(index) => index,
            None => {
                let files = self.files.get_or_insert_with(|| {
                    ["/etc/passwd", "/etc/group"].map(|path| std::fs::read(path).unwrap_or_default())
                });
                let line = lines(&files[which])
                    .find(|fields| fields.get(2).and_then(|field| parse_number(field)) == Some(id));
                let name = line.and_then(|fields| fields.first().copied()).filter(|name| !name.is_empty());
                let name = name.map_or_else(|| id.to_string().into_bytes(), <[u8]>::to_vec);
                let known = &mut self.known[which];
                if known.len() >= KNOWN {
                    known.clear();
                }
                known.push((id, name));
                known.len() - 1
            }
        };
        &self.known[which][index].1
    }
}

fn lines(file: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    file.split(|byte| *byte == b'\n').map(|line| line.split(|byte| *byte == b':').collect())
}

/// A decimal identifier. The largest number is reserved: it means "unchanged" to the kernel.
fn parse_number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok().filter(|number| *number != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] =
        b"root:x:0:0:root:/root:/bin/bash\nann:x:1000:100:Ann,,,:/home/ann:/bin/zsh\nbroken:x:abc\n";
    const GROUP: &[u8] = b"root:x:0:\nusers:x:100:\nwheel:x:10:bob,ann\ndocker:x:998:annie\n";

    #[test]
    fn a_name_gets_its_groups_and_home() {
        let ann = User::find_in(b"ann", PASSWD, GROUP).expect("listed");
        assert_eq!((ann.uid.as_raw(), ann.gid.as_raw()), (1000, 100));
        assert_eq!(ann.groups.iter().map(|gid| gid.as_raw()).collect::<Vec<_>>(), [100, 10]);
        assert_eq!(
            (ann.home.as_slice(), ann.shell.as_slice()),
            (b"/home/ann".as_slice(), b"/bin/zsh".as_slice())
        );
        assert_eq!(User::find_in(b"1000", PASSWD, GROUP), Ok(ann));
    }

    #[test]
    fn a_group_can_be_chosen_by_name_or_number() {
        assert_eq!(User::find_in(b"ann:wheel", PASSWD, GROUP).expect("listed").gid.as_raw(), 10);
        assert_eq!(User::find_in(b"77:88", PASSWD, GROUP).expect("numbers").gid.as_raw(), 88);
    }

    #[test]
    fn unknown_users_and_groups_are_refused() {
        for wanted in ["", "nobody-here", "ann:nogroup", "broken", "4294967295", "-1", ":"] {
            let refusal = User::find_in(wanted.as_bytes(), PASSWD, GROUP).expect_err(wanted);
            assert_eq!(refusal.code, FailureCode::BadUser);
        }
    }
}
