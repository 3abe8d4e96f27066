//! From the agent's entries to those of answers.

use jiff::Timestamp;
use wasm_sandbox_protocol::agent::{self, FileKind};
use wasm_sandbox_protocol::json::{Entry, EntryType, FileMode};

/// What an entry is.
pub(super) fn entry_type(kind: FileKind) -> EntryType {
    match kind {
        FileKind::File => EntryType::File,
        FileKind::Directory => EntryType::Directory,
        FileKind::Symlink => EntryType::Symlink,
        FileKind::Fifo => EntryType::Fifo,
        FileKind::Socket => EntryType::Socket,
        FileKind::CharDevice => EntryType::CharDevice,
        FileKind::BlockDevice => EntryType::BlockDevice,
    }
}

/// The same for the agent.
pub(super) fn file_kind(kind: EntryType) -> FileKind {
    match kind {
        EntryType::File => FileKind::File,
        EntryType::Directory => FileKind::Directory,
        EntryType::Symlink => FileKind::Symlink,
        EntryType::Fifo => FileKind::Fifo,
        EntryType::Socket => FileKind::Socket,
        EntryType::CharDevice => FileKind::CharDevice,
        EntryType::BlockDevice => FileKind::BlockDevice,
    }
}

/// Bytes as text, with U+FFFD for what is none.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An entry of an answer.
pub(super) fn entry(entry: &agent::Entry<'_>) -> Entry {
    let is_text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
    let name = entry.path.rsplit(|byte| *byte == b'/').next().filter(|name| !name.is_empty());
    Entry {
        name: text(name.unwrap_or(b"/")),
        path: text(&entry.path),
        kind: entry_type(entry.kind),
        size: entry.size,
        mode: FileMode(u32::from(entry.mode & 0o7777)),
        permissions: permissions(entry.kind, entry.mode),
        owner: text(&entry.owner),
        group: text(&entry.group),
        modified_time: time(entry.modified_ns),
        symlink_target: entry.target.as_ref().map(|target| text(target)),
        not_utf8: !is_text(&entry.path) || entry.target.as_ref().is_some_and(|target| !is_text(target)),
    }
}

/// RFC 3339, UTC.
fn time(nanoseconds: i64) -> String {
    Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// As `ls -l` writes it.
fn permissions(kind: FileKind, mode: u16) -> String {
    let mut text = String::with_capacity(10);
    text.push(match kind {
        FileKind::File => '-',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
        FileKind::CharDevice => 'c',
        FileKind::BlockDevice => 'b',
    });
    for (shift, special, set, only) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => set,
            (true, false) => only,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_look_as_those_of_ls() {
        assert_eq!(permissions(FileKind::File, 0o644), "-rw-r--r--");
        assert_eq!(permissions(FileKind::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(permissions(FileKind::File, 0o6755), "-rwsr-sr-x");
        assert_eq!(permissions(FileKind::Symlink, 0o7000), "l--S--S--T");
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(1_769_860_800_123_000_000), "2026-01-31T12:00:00.123Z");
        assert_eq!(time(-1), "1969-12-31T23:59:59.999999999Z");
        assert!(time(i64::MAX).starts_with("2262-") && time(i64::MIN).starts_with("1677-"));
    }

    #[test]
    fn names_are_the_last_part_and_need_not_be_text() {
        let of = |path: &'static [u8]| {
            entry(&agent::Entry {
                path: path.into(),
                kind: FileKind::File,
                size: 0,
                mode: 0o100_644u32 as u16,
                owner: "root".into(),
                group: "root".into(),
                modified_ns: 0,
                target: None,
            })
        };
        assert_eq!((of(b"/a/b").name.as_str(), of(b"/").name.as_str()), ("b", "/"));
        let odd = of(b"/a/\xff");
        assert_eq!((odd.name.as_str(), odd.not_utf8, odd.mode), ("\u{FFFD}", true, FileMode(0o644)));
    }
}
