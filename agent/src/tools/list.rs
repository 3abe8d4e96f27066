//! Listing a directory.

use wasm_sandbox_protocol::agent::{FileReply, Summary};

use super::replies::Replies;
use super::walk::{Flow, WalkError, Way, name, walk};
use crate::failure::Refusal;
use crate::files::entry::{entry, link_target};
use crate::files::{absolute, directory};
use crate::user::Names;

/// Gives all entries, down to `depth`.
pub fn list(path: &[u8], depth: u32, max_entries: u32, replies: &mut Replies) -> Result<Summary, Refusal> {
    let failed = |error| Refusal::of(error, "cannot list", path);
    absolute(path)?;
    // Otherwise a file would be listed as the only entry of itself.
    drop(directory::open(rustix::fs::CWD, name(path), true).map_err(failed)?);
    let mut names = Names::default();
    let mut summary = Summary::default();
    let way = Way { depth: depth.max(1), only_real: false };
    let walked = walk(path, way, |node| {
        let Ok(stat) = node.stat() else { return Ok(Flow::On) };
        if summary.entries == u64::from(max_entries) {
            summary.truncated = true;
            return Ok(Flow::Stop);
        }
        let target = link_target(node.parent, node.name, stat);
        replies.send(&FileReply::Entry(entry(node.path, stat, target, &mut names)))?;
        summary.entries += 1;
        Ok(Flow::On)
    });
    match walked {
        Ok(()) => Ok(summary),
        Err(WalkError::Root(error)) => Err(failed(error)),
        Err(WalkError::Visitor(refusal)) => Err(refusal),
    }
}
