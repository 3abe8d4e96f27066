//! What the address space of a process is made of.

use rustix::process::Pid;

use crate::sys::arch::Word;

/// A line of `/proc/PID/maps`.
pub struct Mapping {
    /// Its first address.
    pub start: Word,
    /// The address behind it.
    pub end: Word,
    /// As in `r-xp`.
    pub rights: String,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// The file's path, if it is of one.
    pub file: String,
}

/// What the address space of a process is made of, in the order of addresses.
pub fn mappings(pid: Pid) -> Option<Vec<Mapping>> {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", pid.as_raw_nonzero())).ok()?;
    Some(maps.lines().filter_map(Mapping::parse).collect())
}

impl Mapping {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let address = |text: &str| Word::from_str_radix(text, 16).ok();
        Some(Self {
            start: address(start)?,
            end: address(end)?,
            rights: fields.next()?.to_owned(),
            offset: u64::from_str_radix(fields.next()?, 16).ok()?,
            file: fields.nth(2).unwrap_or_default().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_read() {
        let line = "08048000-080ff000 r-xp 00001000 08:01 77         /usr/bin/bash";
        let mapping = Mapping::parse(line).unwrap();
        assert_eq!((mapping.start, mapping.end, mapping.offset), (0x0804_8000, 0x080f_f000, 0x1000));
        assert_eq!((&*mapping.rights, &*mapping.file), ("r-xp", "/usr/bin/bash"));
        assert_eq!(Mapping::parse("08048000-080ff000 rw-p 00000000 00:00 0").unwrap().file, "");
        assert!(Mapping::parse("").is_none());
    }
}
