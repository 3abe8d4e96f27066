//! Replacing text in files: in all of them, or in none.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use regex::{Regex, RegexBuilder};
use rustix::fs::{Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;
use wasm_sandbox_protocol::agent::{FailureCode, FileReply, Replace, Summary};

use super::replies::Replies;
use crate::failure::Refusal;
use crate::files::entry::look;
use crate::files::{absolute, regular};

/// The most memory a regular expression may take when it is compiled.
const PATTERN_SIZE: usize = 4 << 20;

/// A file that is to be changed.
struct Change {
    /// Behind all symbolic links.
    path: PathBuf,
    stat: Stat,
    content: String,
    replacements: u64,
}

/// Replaces.
pub fn replace(request: &Replace, replies: &mut Replies) -> Result<Summary, Refusal> {
    let edit = Edit::new(request)?;
    let mut seen = HashSet::new();
    let mut changes = Vec::new();
    for path in &request.paths {
        let change = read(path, &edit)?;
        if !seen.insert(change.path.clone()) {
            let message = format!("{} is named twice", String::from_utf8_lossy(path));
            return Err(Refusal::new(FailureCode::InvalidArgument, message));
        }
        changes.push(change);
    }
    let total: u64 = changes.iter().map(|change| change.replacements).sum();
    let wrong = match request.expected {
        Some(expected) => (total != expected).then(|| format!("{total} times, and not {expected} times")),
        None => (total == 0).then(|| "nowhere".into()),
    };
    if let Some(wrong) = wrong {
        let message = format!("what is to be replaced stands in the files {wrong}; nothing was changed");
        return Err(Refusal::new(FailureCode::Mismatch, message));
    }
    put_into_place(&changes)?;
    for change in &changes {
        replies.send(&FileReply::Replaced { replacements: change.replacements })?;
    }
    Ok(Summary { entries: total, ..Summary::default() })
}

/// What is done to a text.
enum Edit<'r> {
    Text(&'r str, &'r str),
    Regex(Regex, &'r str),
}

impl<'r> Edit<'r> {
    fn new(request: &'r Replace) -> Result<Self, Refusal> {
        if request.old.is_empty() {
            return Err(Refusal::new(FailureCode::InvalidArgument, "what is to be replaced is empty"));
        }
        if !request.regex {
            return Ok(Edit::Text(&request.old, &request.new));
        }
        let regex = RegexBuilder::new(&request.old).size_limit(PATTERN_SIZE).build().map_err(|error| {
            let why = format!("{:?} is no regular expression: {error}", request.old);
            Refusal::new(FailureCode::InvalidPattern, why)
        })?;
        Ok(Edit::Regex(regex, &request.new))
    }

    /// The changed text, and in how many places it was.
    fn apply(&self, text: &str) -> (String, u64) {
        let mut count = 0;
        let changed = match self {
            Edit::Text(old, new) => {
                count = text.matches(old).count() as u64;
                text.replace(old, new)
            }
            Edit::Regex(regex, new) => {
                let expand = |captures: &regex::Captures| {
                    count += 1;
                    let mut expanded = String::new();
                    captures.expand(new, &mut expanded);
                    expanded
                };
                regex.replace_all(text, expand).into_owned()
            }
        };
        (changed, count)
    }
}

fn read(path: &[u8], edit: &Edit) -> Result<Change, Refusal> {
    let failed = |error| Refusal::of(error, "cannot change", path);
    let from_std = |error: std::io::Error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    let real = std::fs::canonicalize(absolute(path)?).map_err(from_std)?;
    let stat = look(&real, true).map_err(failed)?;
    regular(&stat, path)?;
    let content = String::from_utf8(std::fs::read(&real).map_err(from_std)?).map_err(|error| {
        let message = format!(
            "{} is not UTF-8 text (byte {}); nothing was changed",
            String::from_utf8_lossy(path),
            error.utf8_error().valid_up_to()
        );
        Refusal::new(FailureCode::NotUtf8, message)
    })?;
    let (content, replacements) = edit.apply(&content);
    Ok(Change { path: real, stat, content, replacements })
}

/// New files beside the old ones, which are kept under another name until all are in place.
struct Staged<'c> {
    change: &'c Change,
    new: PathBuf,
    old: PathBuf,
    replaced: bool,
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        let _not_there = rustix::fs::unlink(&self.new);
        let _not_there = rustix::fs::unlink(&self.old);
    }
}

fn put_into_place(changes: &[Change]) -> Result<(), Refusal> {
    let refuse = |change: &Change, error| {
        Refusal::of(error, "cannot change (so nothing was changed)", change.path.as_os_str().as_bytes())
    };
    let mut staged = Vec::new();
    for change in changes.iter().filter(|change| change.replacements > 0) {
        let [new, old] = ["new", "old"].map(|what| beside(&change.path, what));
        staged.push(Staged { change, new, old, replaced: false });
        if let Some(last) = staged.last() {
            write(change, &last.new).map_err(|error| refuse(change, error))?;
        }
    }
    let mut failure = None;
    for file in &mut staged {
        let placed = rustix::fs::link(&file.change.path, &file.old)
            .and_then(|()| rustix::fs::rename(&file.new, &file.change.path));
        match placed {
            Ok(()) => file.replaced = true,
            Err(error) => {
                failure = Some(refuse(file.change, error));
                break;
            }
        }
    }
    let Some(failure) = failure else { return Ok(()) };
    for file in staged.iter().filter(|file| file.replaced) {
        let _nothing_else_can_be_done = rustix::fs::rename(&file.old, &file.change.path);
    }
    Err(failure)
}

fn write(change: &Change, path: &Path) -> Result<(), Errno> {
    let _left_by_another = rustix::fs::unlink(path);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?;
    let mut file = std::fs::File::from(file);
    file.write_all(change.content.as_bytes())
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let (uid, gid) = (Uid::from_raw(change.stat.st_uid), Gid::from_raw(change.stat.st_gid));
    let _unprivileged = rustix::fs::fchown(&file, Some(uid), Some(gid));
    rustix::fs::fchmod(&file, Mode::from_raw_mode(change.stat.st_mode & 0o7777))
}

/// A name in the same directory that nobody else uses.
fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = OsString::from(".");
    let original = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
    // Long names must not become too long.
    name.push(<std::ffi::OsStr as OsStrExt>::from_bytes(original.get(..100).unwrap_or(original)));
    name.push(format!(".wasm-sandbox-{what}-{}", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn apply(old: &str, new: &str, regex: bool, text: &str) -> (String, u64) {
        let request = Replace { old: old.into(), new: new.into(), regex, ..Replace::default() };
        Edit::new(&request).expect("valid").apply(text)
    }

    #[test]
    fn groups_are_only_known_to_regular_expressions() {
        assert_eq!(apply("a", "$1", false, "banana"), ("b$1n$1n$1".into(), 3));
        assert_eq!(apply("(a)(n)", "${2}$1", true, "banana"), ("bnanaa".into(), 2));
        assert_eq!(apply("(?P<x>n)", "<$x>", true, "banana"), ("ba<n>a<n>a".into(), 2));
    }

    proptest! {
        #[test]
        fn as_many_places_are_counted_as_change(text in "[ab]{0,40}", old in "[ab]{1,3}") {
            let (changed, count) = apply(&old, "", false, &text);
            prop_assert_eq!(changed.len() + old.len() * count as usize, text.len());
        }

        #[test]
        fn no_request_is_a_panic(text in "\\PC{0,40}", old in "\\PC{1,10}", new in "\\PC{0,10}", regex: bool) {
            let request = Replace { old, new, regex, ..Replace::default() };
            if let Ok(edit) = Edit::new(&request) {
                let _any = edit.apply(&text);
            }
        }
    }
}
