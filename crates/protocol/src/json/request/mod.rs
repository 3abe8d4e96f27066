//! Requests.

mod files;
mod machine;
mod processes;

pub use files::{
    Chmod, Copy, Download, EntryType, Exists, Find, ListDir, Mkdir, ReadFile, Remove, Rename, Replace, Stat,
    Symlink, Unwatch, Upload, Watch, WriteFile,
};
pub use machine::{Cancel, Checkpoint, CheckpointDelete, Close, Fork, Hello, Reset, Restore, Save, Status};
pub use processes::{
    DEFAULT_TIME_LIMIT_MS, Exec, Language, MAXIMUM_OUTPUT_BYTES, MAXIMUM_TIME_LIMIT_MS, ProcessCloseStdin,
    ProcessList, ProcessOptions, ProcessRead, ProcessResize, ProcessSignal, ProcessWait, ProcessWrite,
    PtySize, RunCode, SessionClose, SessionList, Shell, Signal, WaitLog, WaitPort,
};

use serde_json::{Map, Value};

use super::parse::fields;
use super::response as answer;
use super::{Outcome, RequestError};

/// Makes everything that has one entry a request: the enum, its names, the way from JSON to it.
macro_rules! requests {
    ($($(#[$doc:meta])* $name:literal => $variant:ident -> $answer:path $(| $other:path)?;)*) => {
        /// One request: what the field `type` selects.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Request {
            $($(#[$doc])* $variant($variant),)*
        }

        impl Request {
            /// Every value of the field `type` there is.
            pub const TYPES: &[&str] = &[$($name),*];

            /// The value of the field `type` for this request.
            pub fn type_name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            /// The request of type `kind` with the fields of `object`; `None` if there is no such type.
            pub(super) fn from_fields(
                kind: &str,
                object: Map<String, Value>,
            ) -> Option<Result<Self, RequestError>> {
                Some(match kind {
                    $($name => fields(kind, object).map(Self::$variant),)*
                    _ => return None,
                })
            }
        }

        $(
            impl From<$variant> for Request {
                fn from(request: $variant) -> Self {
                    Self::$variant(request)
                }
            }

            impl Call for $variant {
                type Answer = $answer;
            }
        )*

        /// Calls `visit` with the name of every request, the schema of its own fields and those of its
        /// possible answers.
        pub(super) fn for_each_schema(
            generator: &mut schemars::SchemaGenerator,
            mut visit: impl FnMut(&'static str, schemars::Schema, Vec<schemars::Schema>),
        ) {
            $({
                let request = <$variant as schemars::JsonSchema>::json_schema(generator);
                let answers =
                    vec![generator.subschema_for::<$answer>() $(, generator.subschema_for::<$other>())?];
                visit($name, request, answers);
            })*
        }
    };
}

/// A request with the type of its answer; with `background`, `shell` and `exec` have another one.
pub trait Call: Into<Request> {
    /// What a success carries.
    type Answer: TryFrom<Outcome, Error = Outcome>;
}

requests! {
    /// Who the program is, what it can do, what its limits are.
    "hello" => Hello -> answer::HelloReport;
    /// How the machine is.
    "status" => Status -> answer::StatusReport;
    /// Runs a command in a shell.
    "shell" => Shell -> answer::ShellResult | answer::ProcessStarted;
    /// Runs a program with arguments, without a shell.
    "exec" => Exec -> answer::ShellResult | answer::ProcessStarted;
    /// Runs code in an interpreter that keeps its state.
    "run_code" => RunCode -> answer::RunCodeResult;
    /// The processes started by requests.
    "process_list" => ProcessList -> answer::Processes;
    /// Waits until a process has ended.
    "process_wait" => ProcessWait -> answer::ProcessState;
    /// Reads what a process has written.
    "process_read" => ProcessRead -> answer::ProcessOutput;
    /// Writes to a process's standard input.
    "process_write" => ProcessWrite -> answer::ProcessWritten;
    /// Ends a process's standard input.
    "process_close_stdin" => ProcessCloseStdin -> answer::Done;
    /// Sends a signal to a process.
    "process_signal" => ProcessSignal -> answer::Done;
    /// Changes the size of a process's terminal.
    "process_resize" => ProcessResize -> answer::Done;
    /// Waits until something in the guest listens on a TCP port.
    "wait_port" => WaitPort -> answer::PortOpen;
    /// Waits until a process has written something.
    "wait_log" => WaitLog -> answer::LogFound;
    /// The shells and interpreters that are kept.
    "session_list" => SessionList -> answer::Sessions;
    /// Ends a shell or interpreter that is kept.
    "session_close" => SessionClose -> answer::Done;
    /// Stops another request.
    "cancel" => Cancel -> answer::Cancelled;
    /// Reads a file.
    "read_file" => ReadFile -> answer::FileContent;
    /// Writes a file.
    "write_file" => WriteFile -> answer::FileWritten;
    /// What is in a directory.
    "list_dir" => ListDir -> answer::DirectoryListing;
    /// What a path is.
    "stat" => Stat -> answer::PathInfo;
    /// Whether there is something at a path.
    "exists" => Exists -> answer::PathExists;
    /// Makes a directory.
    "mkdir" => Mkdir -> answer::DirectoryMade;
    /// Removes a file or directory.
    "remove" => Remove -> answer::Removed;
    /// Renames or moves a file or directory.
    "rename" => Rename -> answer::Done;
    /// Copies a file or directory.
    "copy" => Copy -> answer::Copied;
    /// Makes a symbolic link.
    "symlink" => Symlink -> answer::Done;
    /// Changes permission bits.
    "chmod" => Chmod -> answer::Done;
    /// Finds files by name, type or content.
    "find" => Find -> answer::Found;
    /// Replaces text in files.
    "replace" => Replace -> answer::Replaced;
    /// Reports changes of files as events.
    "watch" => Watch -> answer::Watching;
    /// Ends a `watch`.
    "unwatch" => Unwatch -> answer::Done;
    /// Brings a tree of files into the guest.
    "upload" => Upload -> answer::Uploaded;
    /// Brings a tree of files out of the guest.
    "download" => Download -> answer::Downloaded;
    /// Puts everything back to the initial state.
    "reset" => Reset -> answer::ResetDone;
    /// Keeps the machine's state.
    "checkpoint" => Checkpoint -> answer::Checkpointed;
    /// Goes back to a checkpoint.
    "restore" => Restore -> answer::Restored;
    /// Forgets a checkpoint.
    "checkpoint_delete" => CheckpointDelete -> answer::Done;
    /// Makes a second machine.
    "fork" => Fork -> answer::Forked;
    /// Ends a second machine.
    "close" => Close -> answer::Closed;
    /// Writes the machine's state to a file of the host.
    "save" => Save -> answer::Saved;
}
