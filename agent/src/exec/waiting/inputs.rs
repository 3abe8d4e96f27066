//! What a shell takes over at its start and keeps.

use rustix::fs::Stat;

/// If it is no longer what it was, a waiting shell is not what a new one would be.
///
/// Libraries and locales are left out: looking at all of them would cost more than it is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    /// The program.
    bash: [i128; 7],
    /// The working directory of requests that do not name one; that of the shell.
    home: Option<[i128; 2]>,
    /// bash keeps it as `HOSTNAME`.
    host: Vec<u8>,
}

impl Inputs {
    /// As they are now; `None` without a bash.
    pub fn now() -> Option<Self> {
        let home = crate::user::User::root().home;
        Some(Self {
            bash: version(&rustix::fs::stat(super::shell::BASH).ok()?),
            home: rustix::fs::stat(home.as_slice()).ok().map(|stat| [stat.st_dev.into(), stat.st_ino.into()]),
            host: rustix::system::uname().nodename().to_bytes().to_vec(),
        })
    }
}

fn version(stat: &Stat) -> [i128; 7] {
    [
        stat.st_dev.into(),
        stat.st_ino.into(),
        stat.st_size.into(),
        stat.st_mtime.into(),
        stat.st_mtime_nsec.into(),
        stat.st_ctime.into(),
        stat.st_ctime_nsec.into(),
    ]
}
