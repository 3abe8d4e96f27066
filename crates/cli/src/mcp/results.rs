//! What the tools give, for programs; the text for readers is made from it.

use schemars::JsonSchema;
use serde::Serialize;
use wasm_sandbox::protocol::json::{RunCodeResult, ShellResult};

use super::text::{Output, lines};

/// How a command ended.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct CommandResult {
    /// What it wrote to standard output; a remark stands where the middle was left out.
    pub stdout: String,
    /// What it wrote to standard error, likewise.
    pub stderr: String,
    /// Its exit code; 128 + n if signal n ended it.
    pub exit_code: i32,
    /// The signal that ended it, such as "SIGKILL"; absent if it exited by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Whether it was killed because its time was over.
    pub timed_out: bool,
    /// Run time in milliseconds.
    pub duration_ms: u64,
    /// Whether the middle of an output was left out.
    pub truncated: bool,
    /// What else to know about this result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What code did.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct CodeResult {
    /// What it wrote to standard output; a remark stands where the middle was left out.
    pub stdout: String,
    /// What it wrote to standard error, a traceback included.
    pub stderr: String,
    /// Python: the value of the last expression, as repr gives it; absent if there is none or it is None.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Python: the class of what was raised, such as "ValueError"; absent if nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
    /// The exit code of the last command in bash; in Python 0, or 1 if something was raised.
    pub exit_code: i32,
    /// Whether its time was over.
    pub timed_out: bool,
    /// Run time in milliseconds.
    pub duration_ms: u64,
    /// Whether the middle of an output was left out.
    pub truncated: bool,
    /// Whether the interpreter has ended, with its variables; the next call starts a new one.
    pub context_ended: bool,
    /// What else to know about this result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl CommandResult {
    /// From the sandbox's answer to a command of which `limit` bytes of output were to be kept.
    pub fn new(result: ShellResult, limit: u64) -> Self {
        let stdout = Output {
            text: &result.stdout,
            encoding: result.stdout_encoding,
            truncated: result.stdout_truncated,
            missing_bytes: result.stdout_truncated_bytes,
            limit,
        };
        let stderr = Output {
            text: &result.stderr,
            encoding: result.stderr_encoding,
            truncated: result.stderr_truncated,
            missing_bytes: result.stderr_truncated_bytes,
            limit,
        };
        let ended = result.session_ended.then(|| "The session has ended.".to_owned());
        Self {
            stdout: stdout.readable(),
            stderr: stderr.readable(),
            exit_code: result.exit_code,
            signal: result.signal,
            timed_out: result.timed_out,
            duration_ms: result.duration_ms,
            truncated: result.stdout_truncated || result.stderr_truncated,
            note: result.note.or(ended),
        }
    }

    /// For readers.
    pub fn text(&self) -> String {
        let end = match &self.signal {
            _ if self.timed_out => {
                format!("timed out and killed after {} ms; timeout_ms can be raised", self.duration_ms)
            }
            Some(signal) => format!("ended by {signal} after {} ms", self.duration_ms),
            None => format!("exit code {} after {} ms", self.exit_code, self.duration_ms),
        };
        format!("{}[{end}]{}", outputs(&self.stdout, &self.stderr), note(self.note.as_deref()))
    }
}

impl CodeResult {
    /// From the sandbox's answer to code of which `limit` bytes of output were to be kept.
    pub fn new(result: RunCodeResult, limit: u64) -> Self {
        let output = |text, encoding, truncated| {
            Output { text, encoding, truncated, missing_bytes: 0, limit }.readable()
        };
        Self {
            stdout: output(&result.stdout, result.stdout_encoding, result.stdout_truncated),
            stderr: output(&result.stderr, result.stderr_encoding, result.stderr_truncated),
            result: result.result,
            exception: result.exception.map(|exception| exception.name),
            exit_code: result.exit_code,
            timed_out: result.timed_out,
            duration_ms: result.duration_ms,
            truncated: result.stdout_truncated || result.stderr_truncated,
            context_ended: result.session_ended,
            note: result.note,
        }
    }

    /// For readers.
    pub fn text(&self) -> String {
        let mut text = outputs(&self.stdout, &self.stderr);
        if let Some(result) = &self.result {
            text += &format!("[result]\n{}", lines(result));
        }
        text += &match self.timed_out {
            true => format!("[timed out after {} ms; timeout_ms can be raised]", self.duration_ms),
            false => format!("[exit code {} after {} ms]", self.exit_code, self.duration_ms),
        };
        if self.context_ended {
            text += "\n[the interpreter has ended: the next call starts a new one]";
        }
        text + &note(self.note.as_deref())
    }
}

/// Both outputs, each if there is any.
pub fn outputs(stdout: &str, stderr: &str) -> String {
    let stderr = if stderr.is_empty() { String::new() } else { format!("[stderr]\n{}", lines(stderr)) };
    lines(stdout) + &stderr
}

fn note(note: Option<&str>) -> String {
    note.map(|note| format!("\n[{note}]")).unwrap_or_default()
}

/// A file, or part of one.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FileText {
    /// The file.
    pub path: String,
    /// What is in it, as text or in base64.
    pub content: String,
    /// How content is written: "text" or "base64".
    pub encoding: &'static str,
    /// Bytes of the file that content stands for.
    pub size: u64,
    /// Size of the whole file in bytes, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_size: Option<u64>,
    /// Where to go on reading; absent if this was the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_offset: Option<u64>,
}

/// A file was written.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Written {
    /// The file.
    pub path: String,
    /// Bytes written.
    pub size: u64,
}

/// A file was changed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Edited {
    /// The file.
    pub path: String,
    /// In how many places.
    pub replacements: u64,
}

/// What is in a directory.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Listing {
    /// In the order of their paths.
    pub entries: Vec<ListedFile>,
    /// Whether there is more than was to be returned.
    pub truncated: bool,
}

/// Something in a directory.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListedFile {
    /// The whole path.
    pub path: String,
    /// "file", "directory", "symlink", "fifo", "socket", "char_device" or "block_device".
    #[serde(rename = "type")]
    pub kind: String,
    /// Size in bytes.
    pub size: u64,
    /// Permissions as ls writes them, such as "-rw-r--r--".
    pub permissions: String,
    /// When it was last modified, in UTC.
    pub modified_time: String,
    /// What a symbolic link names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symlink_target: Option<String>,
}

/// A checkpoint was made, or gone back to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AtCheckpoint {
    /// The checkpoint.
    pub name: String,
}

/// It was done.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Finished {
    /// Always true.
    pub done: bool,
}

/// A process runs in the background.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StartedProcess {
    /// What read_process, write_process and stop_process call it.
    pub process_id: String,
    /// What the guest calls it.
    pub pid: u32,
}

/// What a process wrote, and whether it runs.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ProcessOutput {
    /// What it wrote to standard output since after_seq.
    pub stdout: String,
    /// What it wrote to standard error since after_seq.
    pub stderr: String,
    /// The after_seq of the next call.
    pub last_seq: u64,
    /// Whether there may be more: it runs still, or not everything was returned.
    pub more: bool,
    /// Whether output before this is lost, because there was too much.
    pub gap: bool,
    /// Its exit code, if its end is among the news.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended it, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
}

/// A process has ended.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StoppedProcess {
    /// The process.
    pub process_id: String,
    /// Its exit code; 128 + n if signal n ended it.
    pub exit_code: i32,
    /// The signal that ended it; absent if it exited by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_command_has_both_outputs_and_the_end() {
        let result = ShellResult {
            stdout: "out".into(),
            stderr: "bad\n".into(),
            exit_code: 3,
            duration_ms: 7,
            ..Default::default()
        };
        assert_eq!(CommandResult::new(result, 10).text(), "out\n[stderr]\nbad\n[exit code 3 after 7 ms]");
    }

    #[test]
    fn the_text_of_code_has_the_result() {
        let result = RunCodeResult { result: Some("42".into()), session_ended: true, ..Default::default() };
        assert_eq!(
            CodeResult::new(result, 10).text(),
            "[result]\n42\n[exit code 0 after 0 ms]\n[the interpreter has ended: the next call starts a new one]"
        );
    }
}
