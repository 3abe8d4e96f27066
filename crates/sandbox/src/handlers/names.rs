//! `stat`, `exists`, `mkdir`, `remove`, `rename`, `copy`, `symlink`, `chmod`: one question, one short answer.

use wasm_sandbox_protocol::agent::{FileReply, FileRequest, Summary};
use wasm_sandbox_protocol::json::{
    Chmod, Copied, Copy, DirectoryMade, Done, ErrorCode, Exists, Failure, FileMode, Mkdir, Outcome,
    PathExists, PathInfo, Remove, Removed, Rename, Stat, Symlink,
};

use super::entry::{entry, entry_type};
use super::task::Task;

/// Permission bits of a new directory unless the request says otherwise.
const NEW_DIRECTORY: FileMode = FileMode(0o755);

/// `stat`.
pub(super) struct StatTask {
    request: Stat,
    answer: Option<PathInfo>,
}

impl StatTask {
    pub(super) fn new(request: Stat) -> Self {
        Self { request, answer: None }
    }
}

impl Task for StatTask {
    fn request(&self) -> FileRequest<'_> {
        let follow = self.request.follow.unwrap_or(true);
        FileRequest::Stat { path: self.request.path.as_str().into(), follow }
    }

    fn on_reply(&mut self, reply: FileReply<'_>) -> Result<(), Failure> {
        if let FileReply::Entry(found) = reply {
            self.answer = Some(PathInfo { entry: entry(&found) });
        }
        Ok(())
    }

    fn outcome(&mut self, _: Summary) -> Option<Outcome> {
        Some(match self.answer.take() {
            Some(answer) => answer.into(),
            None => Failure::new(ErrorCode::Internal, "the agent did not say what there is").into(),
        })
    }
}

/// `exists`.
pub(super) struct ExistsTask {
    request: Exists,
    answer: PathExists,
}

impl ExistsTask {
    pub(super) fn new(request: Exists) -> Self {
        Self { request, answer: PathExists { exists: false, entry_type: None } }
    }
}

impl Task for ExistsTask {
    fn request(&self) -> FileRequest<'_> {
        FileRequest::Stat { path: self.request.path.as_str().into(), follow: true }
    }

    fn on_reply(&mut self, reply: FileReply<'_>) -> Result<(), Failure> {
        if let FileReply::Entry(found) = reply {
            self.answer = PathExists { exists: true, entry_type: Some(entry_type(found.kind)) };
        }
        Ok(())
    }

    fn outcome(&mut self, _: Summary) -> Option<Outcome> {
        Some(self.answer.clone().into())
    }

    fn on_failure(&mut self, failure: Failure) -> Outcome {
        match failure.error_code {
            // The last is what a loop of symbolic links, or a name longer than any, is to the agent.
            ErrorCode::NotFound
            | ErrorCode::NotADirectory
            | ErrorCode::InvalidRequest
            | ErrorCode::TooLarge => self.answer.clone().into(),
            _ => failure.into(),
        }
    }
}

/// A request of which the answer is made from the agent's counts.
pub(super) struct Plain<R> {
    request: R,
    ask: for<'r> fn(&'r R) -> FileRequest<'r>,
    answer: fn(Summary) -> Outcome,
}

impl<R: Send> Task for Plain<R> {
    fn request(&self) -> FileRequest<'_> {
        (self.ask)(&self.request)
    }

    fn outcome(&mut self, summary: Summary) -> Option<Outcome> {
        Some((self.answer)(summary))
    }
}

pub(super) fn mkdir(request: Mkdir) -> Plain<Mkdir> {
    Plain {
        request,
        ask: |request| FileRequest::MakeDirectory {
            path: request.path.as_str().into(),
            parents: request.create_parents,
            mode: bits(request.mode.unwrap_or(NEW_DIRECTORY)),
        },
        answer: |summary| DirectoryMade { created: summary.entries > 0 }.into(),
    }
}

pub(super) fn remove(request: Remove) -> Plain<Remove> {
    Plain {
        request,
        ask: |request| FileRequest::Remove {
            path: request.path.as_str().into(),
            recursive: request.recursive,
            missing_ok: request.missing_ok,
        },
        answer: |summary| Removed { removed: summary.entries }.into(),
    }
}

pub(super) fn rename(request: Rename) -> Plain<Rename> {
    Plain {
        request,
        ask: |request| FileRequest::Rename {
            from: request.from.as_str().into(),
            to: request.to.as_str().into(),
            overwrite: request.overwrite,
        },
        answer: |_| Done {}.into(),
    }
}

pub(super) fn copy(request: Copy) -> Plain<Copy> {
    Plain {
        request,
        ask: |request| FileRequest::Copy {
            from: request.from.as_str().into(),
            to: request.to.as_str().into(),
            recursive: request.recursive,
            overwrite: request.overwrite,
        },
        answer: |summary| Copied { entries: summary.entries, size: summary.bytes }.into(),
    }
}

pub(super) fn symlink(request: Symlink) -> Plain<Symlink> {
    Plain {
        request,
        ask: |request| FileRequest::Symlink {
            path: request.path.as_str().into(),
            target: request.target.as_str().into(),
        },
        answer: |_| Done {}.into(),
    }
}

pub(super) fn chmod(request: Chmod) -> Plain<Chmod> {
    Plain {
        request,
        ask: |request| FileRequest::ChangeMode {
            path: request.path.as_str().into(),
            mode: bits(request.mode),
        },
        answer: |_| Done {}.into(),
    }
}

fn bits(mode: FileMode) -> u16 {
    (mode.0 & 0o7777) as u16
}
