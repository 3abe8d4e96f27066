//! `write_file`.

use std::time::Duration;

use wasm_sandbox_protocol::agent::{
    AgentToHost, Bytes, HostToAgent, MAX_DATA, OperationId, WriteFile as AgentWriteFile, WriteFlags,
};
use wasm_sandbox_protocol::json::{Failure, FileMode, FileWritten, Outcome, WriteFile};

use crate::channel::Channel;
use crate::content::decode;
use crate::operation::{GRACE, Operation, Step};
use crate::upload::Upload;

/// A file that is being written.
pub(crate) struct WriteFileOperation {
    path: String,
    mode: Option<FileMode>,
    flags: WriteFlags,
    op: OperationId,
    upload: Option<Upload>,
    size: usize,
}

impl WriteFileOperation {
    /// # Errors
    /// [`ErrorCode::InvalidBase64`].
    pub(crate) fn new(request: WriteFile) -> Result<Self, Failure> {
        let content = decode("content", request.content, request.encoding)?;
        let flags = WriteFlags {
            append: request.append,
            create_parents: request.create_parents,
            atomic: !request.append && request.atomic.unwrap_or(true),
            exclusive: false,
        };
        Ok(Self {
            path: request.path,
            // What is added to keeps its mode.
            mode: request.mode.or((!request.append).then_some(FileMode::DEFAULT)),
            flags,
            op: OperationId::default(),
            size: content.len(),
            upload: Some(Upload::new(content)),
        })
    }

    fn send_content(&mut self, channel: &mut Channel) {
        let op = self.op;
        let Some(upload) = &mut self.upload else { return };
        while let Some(data) = upload.next_piece() {
            channel.send(&HostToAgent::FileData { op, data: Bytes::from(data) });
        }
        if upload.is_finished() {
            self.upload = None;
            channel.send(&HostToAgent::FileEnd { op });
        }
    }
}

impl Operation for WriteFileOperation {
    fn start(&mut self, op: OperationId, channel: &mut Channel) -> Step {
        self.op = op;
        let whole = self.upload.take_if(|_| self.size <= MAX_DATA).map(Upload::into_bytes);
        channel.send(&HostToAgent::WriteFile(AgentWriteFile {
            op,
            path: self.path.as_str().into(),
            mode: self.mode.map(|mode| mode.0 as u16),
            flags: self.flags,
            last: whole.is_some(),
            data: whole.map(Bytes::from).unwrap_or_default(),
        }));
        self.send_content(channel);
        Step::Pending
    }

    fn on_frame(&mut self, frame: AgentToHost<'_>, channel: &mut Channel) -> Step {
        match frame {
            AgentToHost::Credit { bytes, .. } => {
                if let Some(upload) = &mut self.upload {
                    upload.add_credit(bytes);
                }
                self.send_content(channel);
                Step::Pending
            }
            AgentToHost::Done { .. } => {
                Step::Done(Outcome::FileWritten(FileWritten { size: self.size as u64 }))
            }
            _ => Step::Pending,
        }
    }

    fn patience(&self) -> Duration {
        GRACE
    }
}
