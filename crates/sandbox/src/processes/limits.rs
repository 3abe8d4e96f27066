//! Limits that the host watches: the agent's patience, and instructions. All others are the agent's own.

use std::time::Instant;

use wasm_sandbox_protocol::agent::HostToAgent;

use super::{Process, Processes};
use crate::channel::Channel;
use crate::operation::GRACE;

impl Processes {
    /// Whether the agent has let a process run far beyond its time.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        self.table.values().any(|process| {
            process.record.ended.is_none() && process.deadline.is_some_and(|deadline| deadline <= now)
        })
    }
}

impl Process {
    /// Has it killed if its instructions are used up.
    pub(super) fn count_instructions(&mut self, now: Instant, instructions: u64, channel: &mut Channel) {
        let is_over = self.record.instructions_end.is_some_and(|end| end <= instructions);
        if is_over && self.record.ended.is_none() {
            self.record.instructions_end = None;
            self.record.out_of_instructions = true;
            self.deadline = Some(now + GRACE);
            channel.send(&HostToAgent::Cancel { op: self.record.op() });
        }
    }
}
