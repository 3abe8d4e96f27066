//! `wait_port`.

use std::time::{Duration, Instant};

use wasm_sandbox_protocol::agent::{AgentToHost, FileEnd, HostToAgent, OperationId, ReadFile};
use wasm_sandbox_protocol::json::{DEFAULT_TIME_LIMIT_MS, ErrorCode, Failure, PortOpen, WaitPort};

use crate::channel::Channel;
use crate::operation::{GRACE, Operation, Step};
use crate::time;

/// The kernel's tables of TCP sockets (proc(5)).
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// The state "listening" in those tables.
const LISTENING: &str = "0A";

/// A wait for a port.
pub(crate) struct WaitPortOperation {
    port: u16,
    started: Instant,
    deadline: Instant,
    op: OperationId,
    table: usize,
    text: Vec<u8>,
    next_look: Option<Instant>,
}

impl WaitPortOperation {
    pub(crate) fn new(request: &WaitPort) -> Self {
        let started = time::now();
        let limit = request.time_limit_ms.unwrap_or(DEFAULT_TIME_LIMIT_MS);
        Self {
            port: request.port,
            started,
            deadline: started + Duration::from_millis(limit),
            op: OperationId::default(),
            table: 0,
            text: Vec::new(),
            next_look: None,
        }
    }

    fn look(&mut self, channel: &mut Channel) {
        self.text.clear();
        self.next_look = None;
        let path = TABLES[self.table % TABLES.len()].into();
        channel.send(&HostToAgent::ReadFile(ReadFile { op: self.op, path, ..ReadFile::default() }));
    }

    /// The table was read.
    fn looked(&mut self, channel: &mut Channel) -> Step {
        if is_listening(&String::from_utf8_lossy(&self.text), self.port) {
            let duration_ms = time::since(self.started).as_millis() as u64;
            return Step::Done(PortOpen { port: self.port, duration_ms }.into());
        }
        self.table += 1;
        if !self.table.is_multiple_of(TABLES.len()) {
            self.look(channel);
        } else if time::now() >= self.deadline {
            let message = format!("nothing listens on port {}", self.port);
            return Step::failed(Failure::new(ErrorCode::TimedOut, message));
        } else {
            self.next_look = Some((time::now() + PAUSE).min(self.deadline));
        }
        Step::Pending
    }
}

impl Operation for WaitPortOperation {
    fn start(&mut self, op: OperationId, channel: &mut Channel) -> Step {
        self.op = op;
        self.look(channel);
        Step::Pending
    }

    fn on_frame(&mut self, frame: AgentToHost<'_>, channel: &mut Channel) -> Step {
        match frame {
            AgentToHost::FileData { op, data } => {
                self.text.extend_from_slice(&data);
                channel
                    .send(&HostToAgent::Credit { op, bytes: u32::try_from(data.len()).unwrap_or(u32::MAX) });
                Step::Pending
            }
            AgentToHost::FileEnd(FileEnd { .. }) => self.looked(channel),
            _ => Step::Pending,
        }
    }

    /// A kernel without IPv6 has no table for it.
    fn on_failure(&mut self, _: Failure, channel: &mut Channel) -> Step {
        self.looked(channel)
    }

    fn due(&self) -> Option<Instant> {
        self.next_look
    }

    fn on_due(&mut self, channel: &mut Channel) -> Step {
        self.look(channel);
        Step::Pending
    }

    fn patience(&self) -> Duration {
        GRACE
    }
}

/// Whether a line of `table` is a socket that listens on `port`: `sl local_address rem_address st …`.
fn is_listening(table: &str, port: u16) -> bool {
    let suffix = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = fields.next().unwrap_or_default();
        local.ends_with(&suffix) && fields.nth(1) == Some(LISTENING)
    })
}

#[cfg(test)]
mod tests {
    use super::is_listening;

    #[test]
    fn listening_sockets_are_found() {
        let table = "  sl  local_address rem_address   st tx_queue\n   0: 0100007F:1F90 00000000:0000 0A 0:0\n   \
                     1: 0100007F:0050 0100007F:1F91 01 0:0\n";
        assert!(is_listening(table, 8080));
        assert!(!is_listening(table, 80) && !is_listening(table, 8081) && !is_listening("", 1));
    }
}
