//! `read_file`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wasm_sandbox_protocol::agent::{AgentToHost, HostToAgent, OperationId, ReadFile as AgentReadFile};
use wasm_sandbox_protocol::json::{Encoding, ErrorCode, Failure, FileContent, Outcome, ReadFile};

use crate::channel::Channel;
use crate::operation::{GRACE, Operation, Step};

/// The largest file that is given in one answer.
const LARGEST_FILE: usize = 512 << 20;

/// A file that is being read.
pub(crate) struct ReadFileOperation {
    request: ReadFile,
    content: Vec<u8>,
}

/// Whether only a part of the file is asked for.
fn is_part(request: &ReadFile) -> bool {
    request.offset > 0 || request.length.is_some()
}

impl ReadFileOperation {
    pub(crate) fn new(request: ReadFile) -> Self {
        Self { request, content: Vec::new() }
    }

    fn finish(&mut self, file_size: u64) -> Outcome {
        let bytes = std::mem::take(&mut self.content);
        let size = bytes.len() as u64;
        let encoding = self.request.encoding;
        let content = match encoding {
            Encoding::Base64 => STANDARD.encode(&bytes),
            Encoding::Text => match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => {
                    return Outcome::Failure(Failure::new(
                        ErrorCode::NotUtf8,
                        format!(
                            "{} is not UTF-8 text (byte {}; a part may begin or end inside a character): ask for \
                             \"encoding\":\"base64\"",
                            self.request.path,
                            self.request.offset.saturating_add(error.utf8_error().valid_up_to() as u64)
                        ),
                    ));
                }
            },
        };
        let file_size = is_part(&self.request).then_some(file_size);
        Outcome::FileContent(FileContent { content, encoding, size, file_size })
    }
}

impl Operation for ReadFileOperation {
    fn start(&mut self, op: OperationId, channel: &mut Channel) -> Step {
        channel.send(&HostToAgent::ReadFile(AgentReadFile {
            op,
            path: self.request.path.as_str().into(),
            offset: self.request.offset,
            length: self.request.length,
        }));
        Step::Pending
    }

    fn on_frame(&mut self, frame: AgentToHost<'_>, channel: &mut Channel) -> Step {
        match frame {
            AgentToHost::FileData { op, data } => {
                if self.content.len() + data.len() > LARGEST_FILE {
                    channel.send(&HostToAgent::Cancel { op });
                    return Step::failed(Failure::new(
                        ErrorCode::TooLarge,
                        format!(
                            "{} has more than {LARGEST_FILE} bytes: read it in parts, with `offset` and `length`",
                            self.request.path
                        ),
                    ));
                }
                self.content.extend_from_slice(&data);
                channel
                    .send(&HostToAgent::Credit { op, bytes: u32::try_from(data.len()).unwrap_or(u32::MAX) });
                Step::Pending
            }
            AgentToHost::FileEnd(end) => Step::Done(self.finish(end.size)),
            _ => Step::Pending,
        }
    }

    fn patience(&self) -> Duration {
        GRACE
    }
}
