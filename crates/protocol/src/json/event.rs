//! Events: lines that come unasked, while a request is carried out or after it.

use schemars::JsonSchema;
use serde::Serialize;

use super::response::{is_false, is_text};
use super::{Encoding, RequestId};

/// An event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Always `"event"`.
    #[serde(rename = "type")]
    pub kind: EventTag,
    /// The id of the request that caused it: the one with `stream`, or the `watch`.
    pub id: Option<RequestId>,
    /// What happened.
    #[serde(flatten)]
    pub what: EventBody,
}

/// The value `"event"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventTag {
    /// `"event"`.
    #[default]
    Event,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum EventBody {
    /// A process.
    Process(AddressedProcessEvent),
    /// A file.
    Watch(WatchEvent),
}

/// Something happened to a process.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct AddressedProcessEvent {
    /// The process; absent for `run_code` and commands in a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_id: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub event: ProcessEvent,
}

/// Something that happened to a process, with its place in the order.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ProcessEvent {
    /// Counts the process's events from 1, without gaps.
    pub seq: u64,
    /// What happened.
    #[serde(flatten)]
    pub change: ProcessChange,
}

/// Something that happened to a process.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ProcessChange {
    /// It runs.
    Started {
        /// Its process identifier in the guest.
        pid: u32,
    },
    /// It wrote to standard output, or to its terminal.
    Stdout(OutputPiece),
    /// It wrote to standard error.
    Stderr(OutputPiece),
    /// It ended. All its output has been sent.
    Exited {
        /// Its exit code, from 0 to 255; 128 + *n* if signal *n* ended it.
        exit_code: i32,
        /// Name of the signal that ended it; absent if it exited by itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        signal: Option<String>,
        /// Whether it was killed because its time was over.
        #[serde(skip_serializing_if = "is_false")]
        timed_out: bool,
    },
    /// It is gone with its machine: `reset`, `restore`, `close`, or the machine went down. The last event.
    Lost,
}

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct OutputPiece {
    /// What was written. Characters are not split.
    pub data: String,
    /// How `data` is written, if not as text.
    #[serde(skip_serializing_if = "is_text")]
    pub encoding: Encoding,
}

/// Something happened to a file that is watched.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct WatchEvent {
    /// The watch.
    pub watch_id: String,
    /// Counts the watch's events from 1.
    pub seq: u64,
    /// What happened.
    pub event: FileChange,
    /// The path that it happened to.
    pub path: String,
    /// Whether it is a directory.
    pub directory: bool,
    /// With `renamed`: the new path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_path: Option<String>,
}

/// What can happen to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileChange {
    /// It is new, or was moved here from elsewhere.
    Created,
    /// It was written to.
    Modified,
    /// Its permissions, owner or times changed.
    Attributes,
    /// It is gone, or was moved elsewhere.
    Deleted,
    /// It has another name, among what is watched.
    Renamed,
    /// The watch has ended: what was watched is gone, or the machine was reset, restored, closed, or went down. The last
    /// event; its path is the one that was asked for.
    Ended,
    /// Events were lost, because there were too many: look for yourself.
    Overflow,
}
