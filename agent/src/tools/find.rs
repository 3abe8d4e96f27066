//! Finding files by name, type and content.

use std::os::fd::OwnedFd;

use globset::{GlobBuilder, GlobMatcher};
use regex::bytes::{Regex, RegexBuilder};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use wasm_sandbox_protocol::agent::{FailureCode, FileKind, FileReply, Find, MAX_LINE, Match, Summary};

use super::replies::Replies;
use super::walk::{Flow, Node, WalkError, Way, name, walk};
use crate::failure::Refusal;
use crate::files::absolute;
use crate::files::entry::kind;

/// A file with a NUL in so many first bytes is taken for binary.
const LOOK_FOR_NUL: usize = 8 * 1024;

/// Bytes of a file that are read at once; longer lines are searched in pieces of this size.
const BLOCK: usize = 1 << 20;

/// The most memory a pattern may take when it is compiled.
const PATTERN_SIZE: usize = 4 << 20;

/// Finds.
pub fn find(find: &Find, replies: &mut Replies) -> Result<Summary, Refusal> {
    let path = find.path.as_slice();
    absolute(path)?;
    let mut search = Search {
        find,
        glob: find.name.as_deref().map(|pattern| glob(pattern, find.ignore_case)).transpose()?,
        lines: find.content.as_deref().map(|pattern| Lines::new(pattern, find.ignore_case)).transpose()?,
        replies,
        summary: Summary::default(),
    };
    let way = Way { depth: find.max_depth.unwrap_or(u32::MAX), only_real: true };
    let walked = match way.depth {
        0 => Ok(()),
        _ => walk(path, way, |node| search.look(node)),
    };
    match walked {
        Ok(()) => Ok(search.summary),
        Err(WalkError::Root(error)) => Err(Refusal::of(error, "cannot search", path)),
        Err(WalkError::Visitor(refusal)) => Err(refusal),
    }
}

/// A compiled pattern for names, or for relative paths.
struct Glob {
    matcher: GlobMatcher,
    whole_path: bool,
}

fn glob(pattern: &str, ignore_case: bool) -> Result<Glob, Refusal> {
    let whole_path = pattern.contains('/');
    let matcher = GlobBuilder::new(pattern.strip_prefix('/').unwrap_or(pattern))
        .literal_separator(true)
        .case_insensitive(ignore_case)
        .empty_alternates(true)
        .build()
        .map_err(|error| {
            let why = format!("{pattern:?} is no pattern for names: {}", error.kind());
            Refusal::new(FailureCode::InvalidPattern, why)
        })?
        .compile_matcher();
    Ok(Glob { matcher, whole_path })
}

struct Search<'s> {
    find: &'s Find<'s>,
    glob: Option<Glob>,
    lines: Option<Lines>,
    replies: &'s mut Replies,
    summary: Summary,
}

impl Search<'_> {
    fn look(&mut self, node: &Node) -> Result<Flow, Refusal> {
        if let Some(glob) = &self.glob {
            let subject = if glob.whole_path { name(node.relative()) } else { node.file_name() };
            if !glob.matcher.is_match(subject) {
                return Ok(Flow::On);
            }
        }
        // Gone meanwhile.
        let Ok(stat) = node.stat() else { return Ok(Flow::On) };
        let kind = kind(stat);
        if self.find.kind.is_some_and(|wanted| wanted != kind) {
            return Ok(Flow::On);
        }
        let found = Match { path: node.path.into(), kind, size: stat.st_size as u64, line: None };
        let Some(lines) = &mut self.lines else {
            return report(found, self.find, self.replies, &mut self.summary);
        };
        if kind != FileKind::File {
            return Ok(Flow::On);
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let Ok(file) = rustix::fs::openat(node.parent, node.file_name(), flags, Mode::empty()) else {
            return Ok(Flow::On);
        };
        let (find, replies, summary) = (self.find, &mut *self.replies, &mut self.summary);
        lines.search(&file, |number, line| {
            let line = Some((number, line[..line.len().min(MAX_LINE)].into()));
            report(Match { line, ..found.clone() }, find, replies, summary)
        })
    }
}

fn report(found: Match, find: &Find, replies: &mut Replies, summary: &mut Summary) -> Result<Flow, Refusal> {
    if summary.entries == u64::from(find.max_results) {
        summary.truncated = true;
        return Ok(Flow::Stop);
    }
    replies.send(&FileReply::Match(found))?;
    summary.entries += 1;
    Ok(Flow::On)
}

/// Searches lines.
struct Lines {
    regex: Regex,
    /// The pattern speaks of the beginning or end of a text as a whole: each line is searched for itself.
    one_by_one: bool,
    buffer: Vec<u8>,
}

impl Lines {
    fn new(pattern: &str, ignore_case: bool) -> Result<Self, Refusal> {
        let regex = RegexBuilder::new(pattern)
            .case_insensitive(ignore_case)
            .multi_line(true)
            .crlf(true)
            .size_limit(PATTERN_SIZE)
            .build()
            .map_err(|error| {
                let why = format!("{pattern:?} is no regular expression: {error}");
                Refusal::new(FailureCode::InvalidPattern, why)
            })?;
        let one_by_one = pattern.contains("\\A") || pattern.contains("\\z") || pattern.contains("(?");
        Ok(Self { regex, one_by_one, buffer: Vec::new() })
    }

    /// Calls `found` with each line that matches, and its number. Reading errors end a file early.
    fn search(
        &mut self,
        file: &OwnedFd,
        mut found: impl FnMut(u64, &[u8]) -> Result<Flow, Refusal>,
    ) -> Result<Flow, Refusal> {
        let Self { regex, one_by_one, buffer } = self;
        buffer.resize(BLOCK, 0);
        // Bytes at the front that are the beginning of a line.
        let mut kept = 0;
        let mut number = 1;
        let mut first = true;
        loop {
            let count = match rustix::io::read(file, &mut buffer[kept..]) {
                Err(Errno::INTR) => continue,
                count => count.unwrap_or(0),
            };
            let filled = kept + count;
            if std::mem::take(&mut first) && buffer[..filled.min(LOOK_FOR_NUL)].contains(&0) {
                return Ok(Flow::On);
            }
            let text = &buffer[..filled];
            let whole = match text.iter().rposition(|byte| *byte == b'\n') {
                _ if count == 0 => filled,
                Some(last) => last + 1,
                None if filled == buffer.len() => filled,
                None => 0,
            };
            if let Flow::Stop = block(regex, *one_by_one, &text[..whole], &mut number, &mut found)? {
                return Ok(Flow::Stop);
            }
            if count == 0 {
                return Ok(Flow::On);
            }
            buffer.copy_within(whole..filled, 0);
            kept = filled - whole;
        }
    }
}

/// Searches whole lines; `number` is that of the first, and then of the one after the last.
fn block(
    regex: &Regex,
    one_by_one: bool,
    text: &[u8],
    number: &mut u64,
    found: &mut impl FnMut(u64, &[u8]) -> Result<Flow, Refusal>,
) -> Result<Flow, Refusal> {
    let newlines = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count() as u64;
    let mut at = 0;
    while at < text.len() {
        // A match in the whole text tells in which line to look; it may go on in the next.
        let start = match one_by_one {
            true => at,
            false => match regex.find_at(text, at) {
                Some(candidate) if candidate.start() < text.len() => candidate.start(),
                _ => break,
            },
        };
        let before = text[at..start].iter().rposition(|byte| *byte == b'\n').map_or(at, |last| at + last + 1);
        *number += newlines(&text[at..before]);
        let end =
            text[before..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |end| before + end);
        let line = &text[before..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if regex.is_match(line)
            && let Flow::Stop = found(*number, line)?
        {
            return Ok(Flow::Stop);
        }
        at = (end + 1).min(text.len());
        *number += u64::from(end < text.len());
    }
    *number += newlines(&text[at..]);
    Ok(Flow::On)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matching(pattern: &str, text: &[u8], one_by_one: bool) -> Vec<(u64, Vec<u8>)> {
        let lines = Lines::new(pattern, false).expect("a pattern");
        let (mut number, mut all) = (1, Vec::new());
        let mut found = |number, line: &[u8]| {
            all.push((number, line.to_vec()));
            Ok(Flow::On)
        };
        block(&lines.regex, lines.one_by_one || one_by_one, text, &mut number, &mut found).expect("searched");
        all
    }

    #[test]
    fn each_line_is_searched_for_itself() {
        let text = b"one\ntwo one\n\nthree\r\none";
        for one_by_one in [false, true] {
            let numbers = |pattern| -> Vec<u64> {
                matching(pattern, text, one_by_one).into_iter().map(|(number, _)| number).collect()
            };
            assert_eq!(numbers("one"), [1, 2, 5]);
            assert_eq!(numbers("^one"), [1, 5]);
            assert_eq!(numbers("e$"), [1, 2, 4, 5]);
            assert_eq!(numbers("\\Aone\\z"), [1, 5]);
            assert_eq!(numbers("one\\s+two"), [] as [u64; 0]);
            assert_eq!(numbers("^$"), [3]);
            assert_eq!(numbers("[^x]"), [1, 2, 4, 5]);
        }
        assert_eq!(matching("three", text, false), [(4, b"three".to_vec())]);
    }

    proptest! {
        #[test]
        fn searching_all_at_once_finds_what_searching_line_by_line_does(
            text in "[ab\n\r]{0,40}",
            pattern in prop::sample::select(vec!["a", "ab", "^a", "b$", "a*", "^$", "[^a]", "a\\s*b", "\\bab", "a.b", "(a|b)+$"]),
        ) {
            let text = text.as_bytes();
            prop_assert_eq!(matching(pattern, text, false), matching(pattern, text, true));
        }

        #[test]
        fn no_pattern_is_a_panic(pattern in "\\PC{0,30}", ignore_case: bool) {
            let _either = glob(&pattern, ignore_case);
            let _either = Lines::new(&pattern, ignore_case);
        }
    }
}
