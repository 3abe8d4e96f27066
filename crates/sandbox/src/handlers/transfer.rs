//! `upload` and `download`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wasm_sandbox_protocol::agent::{FileReply, FileRequest, PackForm, Summary};
use wasm_sandbox_protocol::json::{
    DEFAULT_TIME_LIMIT_MS, Download, Downloaded, Encoding, ErrorCode, Failure, Outcome, Upload, Uploaded,
};

use super::task::{Input, Task};
use crate::config::SandboxConfig;
use crate::content::decode;
use crate::host::{HostReader, HostWriter, Item, Piece, Place};

/// Bytes of an archive in one frame.
const PIECE: usize = 64 << 10;
/// The largest archive in an answer.
const LARGEST_ARCHIVE: u64 = 256 << 20;

/// Where an archive for the guest comes from.
enum Source {
    Memory { archive: Vec<u8>, sent: usize },
    Host(HostReader),
}

/// `upload`.
pub(super) struct UploadTask {
    path: String,
    time_limit_ms: u64,
    source: Source,
}

impl UploadTask {
    /// # Errors
    /// The archive is no base64; the path of the host is not allowed.
    pub(super) fn new(request: Upload, config: &SandboxConfig) -> Result<Self, Failure> {
        let source = match (request.content, request.host_path) {
            (Some(content), _) => {
                let archive = decode("content", content, Encoding::Base64)?;
                Source::Memory { archive, sent: 0 }
            }
            (None, Some(path)) => {
                let place = Place::find(&path, &config.allow_read, "--allow-read")?;
                Source::Host(HostReader::start(place)?)
            }
            (None, None) => {
                return Err(Failure::new(ErrorCode::InvalidRequest, "give either `content` or `host_path`"));
            }
        };
        let time_limit_ms = request.time_limit_ms.unwrap_or(DEFAULT_TIME_LIMIT_MS);
        Ok(Self { path: request.path, time_limit_ms, source })
    }
}

impl Task for UploadTask {
    fn request(&self) -> FileRequest<'_> {
        FileRequest::Unpack { path: self.path.as_str().into() }
    }

    fn time_limit_ms(&self) -> u64 {
        self.time_limit_ms
    }

    fn input(&mut self, room: usize) -> Result<Input, Failure> {
        let room = room.min(PIECE);
        match &mut self.source {
            Source::Memory { archive, sent } => {
                let end = archive.len().min(*sent + room);
                let piece = archive[*sent..end].to_vec();
                *sent = end;
                Ok(if piece.is_empty() { Input::End } else { Input::Piece(piece) })
            }
            Source::Host(reader) => Ok(match reader.next(room)? {
                Piece::Bytes(bytes) => Input::Piece(bytes),
                Piece::NotYet => Input::Later,
                Piece::End => Input::End,
            }),
        }
    }

    fn outcome(&mut self, summary: Summary) -> Option<Outcome> {
        Some(Uploaded { entries: summary.entries, size: summary.bytes }.into())
    }
}

/// Where a tree from the guest goes.
enum Sink {
    Memory(Vec<u8>),
    Host { writer: HostWriter, ended: bool },
}

/// `download`.
pub(super) struct DownloadTask {
    path: String,
    time_limit_ms: u64,
    sink: Sink,
}

impl DownloadTask {
    /// # Errors
    /// The path of the host is not allowed.
    pub(super) fn new(request: Download, config: &SandboxConfig) -> Result<Self, Failure> {
        let sink = match request.host_path {
            None => Sink::Memory(Vec::new()),
            Some(path) => {
                let place = Place::find(&path, &config.allow_write, "--allow-write")?;
                Sink::Host { writer: HostWriter::start(place)?, ended: false }
            }
        };
        let time_limit_ms = request.time_limit_ms.unwrap_or(DEFAULT_TIME_LIMIT_MS);
        Ok(Self { path: request.path, time_limit_ms, sink })
    }
}

impl Task for DownloadTask {
    fn request(&self) -> FileRequest<'_> {
        let form = match self.sink {
            Sink::Memory(_) => PackForm::Tar,
            Sink::Host { .. } => PackForm::Entries,
        };
        FileRequest::Pack { path: self.path.as_str().into(), form }
    }

    fn time_limit_ms(&self) -> u64 {
        self.time_limit_ms
    }

    fn most_bytes(&self) -> u64 {
        match self.sink {
            // With what the frames add.
            Sink::Memory(_) => LARGEST_ARCHIVE + LARGEST_ARCHIVE / 1000,
            // The writer counts.
            Sink::Host { .. } => u64::MAX,
        }
    }

    fn on_reply(&mut self, reply: FileReply<'_>) -> Result<(), Failure> {
        match (&mut self.sink, reply) {
            (Sink::Memory(archive), FileReply::Data(data)) => archive.extend_from_slice(&data),
            (Sink::Host { writer, .. }, FileReply::Data(data)) => writer.push(Item::Data(data.into_vec())),
            (Sink::Host { writer, .. }, FileReply::Entry(entry)) => writer.push(Item::Entry {
                path: entry.path.into_vec(),
                kind: entry.kind,
                size: entry.size,
                mode: entry.mode,
                modified_ns: entry.modified_ns,
                target: entry.target.map(|target| target.into_vec()).unwrap_or_default(),
            }),
            _ => {}
        }
        Ok(())
    }

    fn is_blocked(&mut self) -> bool {
        match &mut self.sink {
            Sink::Memory(_) => false,
            Sink::Host { writer, .. } => writer.is_blocked(),
        }
    }

    fn outcome(&mut self, summary: Summary) -> Option<Outcome> {
        match &mut self.sink {
            Sink::Memory(archive) => {
                let content = Some(STANDARD.encode(std::mem::take(archive)));
                let Summary { entries, bytes: size, skipped, .. } = summary;
                Some(Downloaded { content, entries, size, skipped }.into())
            }
            Sink::Host { writer, ended } => {
                if !std::mem::replace(ended, true) {
                    writer.push(Item::End);
                }
                writer.is_blocked();
                Some(match writer.outcome()? {
                    Ok(written) => Downloaded {
                        content: None,
                        entries: written.entries,
                        size: written.bytes,
                        skipped: written.skipped + summary.skipped,
                    }
                    .into(),
                    Err(failure) => failure.into(),
                })
            }
        }
    }
}
