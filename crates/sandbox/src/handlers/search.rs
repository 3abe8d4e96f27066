//! `list_dir`, `find`, `replace`: many replies, one answer.

use wasm_sandbox_protocol::agent::{self, FileReply, FileRequest, Summary};
use wasm_sandbox_protocol::json::{
    DEFAULT_TIME_LIMIT_MS, DirectoryListing, Entry, Failure, FileReplacements, Find, Found, ListDir, Match,
    Outcome, Replace, Replaced,
};

use super::entry::{entry, entry_type, file_kind, text};
use super::task::Task;

/// The most entries of a listing unless the request says otherwise.
const USUAL_ENTRIES: u32 = 10_000;
/// The most matches unless the request says otherwise.
const USUAL_MATCHES: u32 = 1000;

/// `list_dir`.
pub(super) struct ListTask {
    request: ListDir,
    entries: Vec<Entry>,
}

impl ListTask {
    pub(super) fn new(request: ListDir) -> Self {
        Self { request, entries: Vec::new() }
    }
}

impl Task for ListTask {
    fn request(&self) -> FileRequest<'_> {
        FileRequest::List {
            path: self.request.path.as_str().into(),
            depth: self.request.depth.unwrap_or(1),
            max_entries: self.request.max_entries.unwrap_or(USUAL_ENTRIES),
        }
    }

    fn on_reply(&mut self, reply: FileReply<'_>) -> Result<(), Failure> {
        if let FileReply::Entry(found) = reply {
            self.entries.push(entry(&found));
        }
        Ok(())
    }

    fn outcome(&mut self, summary: Summary) -> Option<Outcome> {
        let entries = std::mem::take(&mut self.entries);
        Some(DirectoryListing { entries, truncated: summary.truncated }.into())
    }
}

/// `find`.
pub(super) struct FindTask {
    request: Find,
    matches: Vec<Match>,
}

impl FindTask {
    pub(super) fn new(request: Find) -> Self {
        Self { request, matches: Vec::new() }
    }
}

impl Task for FindTask {
    fn request(&self) -> FileRequest<'_> {
        let find = &self.request;
        FileRequest::Find(agent::Find {
            path: find.path.as_str().into(),
            name: find.name.clone(),
            kind: find.entry_type.map(file_kind),
            content: find.content.clone(),
            ignore_case: find.ignore_case,
            max_depth: find.max_depth,
            max_results: find.max_results.unwrap_or(USUAL_MATCHES),
        })
    }

    fn time_limit_ms(&self) -> u64 {
        self.request.time_limit_ms.unwrap_or(DEFAULT_TIME_LIMIT_MS)
    }

    fn on_reply(&mut self, reply: FileReply<'_>) -> Result<(), Failure> {
        if let FileReply::Match(found) = reply {
            self.matches.push(Match {
                path: text(&found.path),
                kind: entry_type(found.kind),
                size: found.size,
                line_number: found.line.as_ref().map(|(number, _)| *number),
                line: found.line.as_ref().map(|(_, line)| text(line)),
            });
        }
        Ok(())
    }

    fn outcome(&mut self, summary: Summary) -> Option<Outcome> {
        let matches = std::mem::take(&mut self.matches);
        Some(Found { matches, truncated: summary.truncated }.into())
    }
}

/// `replace`.
pub(super) struct ReplaceTask {
    request: Replace,
    counts: Vec<u64>,
}

impl ReplaceTask {
    pub(super) fn new(request: Replace) -> Self {
        Self { request, counts: Vec::new() }
    }
}

impl Task for ReplaceTask {
    fn request(&self) -> FileRequest<'_> {
        let replace = &self.request;
        FileRequest::Replace(agent::Replace {
            paths: replace.paths.iter().map(|path| path.as_str().into()).collect(),
            old: replace.old.clone(),
            new: replace.new.clone(),
            regex: replace.regex,
            expected: replace.expected_replacements,
        })
    }

    fn on_reply(&mut self, reply: FileReply<'_>) -> Result<(), Failure> {
        if let FileReply::Replaced { replacements } = reply {
            self.counts.push(replacements);
        }
        Ok(())
    }

    fn outcome(&mut self, summary: Summary) -> Option<Outcome> {
        let paths = std::mem::take(&mut self.request.paths).into_iter();
        let files = paths
            .zip(self.counts.iter())
            .map(|(path, replacements)| FileReplacements { path, replacements: *replacements })
            .collect();
        Some(Replaced { replacements: summary.entries, files }.into())
    }
}
