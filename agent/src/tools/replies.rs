//! Replies of a tool, on standard output.

use rustix::io::Errno;
use wasm_sandbox_protocol::agent::{FailureCode, FileReply, encode};

use crate::failure::Refusal;

/// Replies collect up to this size.
const BATCH: usize = 32 * 1024;

/// Where replies go.
pub struct Replies {
    buffer: Vec<u8>,
}

impl Replies {
    /// None yet.
    pub fn new() -> Self {
        Self { buffer: Vec::with_capacity(BATCH) }
    }

    /// Adds a reply, and writes when there are many.
    pub fn send(&mut self, reply: &FileReply) -> Result<(), Refusal> {
        encode(reply, &mut self.buffer)
            .map_err(|error| Refusal::new(FailureCode::TooLarge, error.to_string()))?;
        if self.buffer.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    /// Writes what was not written yet.
    pub fn flush(&mut self) -> Result<(), Refusal> {
        let mut rest = self.buffer.as_slice();
        while !rest.is_empty() {
            // Not by way of std, which buffers by lines.
            match rustix::io::write(rustix::stdio::stdout(), rest) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(Refusal::of(error, "cannot reply", b"to the server")),
            }
        }
        self.buffer.clear();
        Ok(())
    }
}
