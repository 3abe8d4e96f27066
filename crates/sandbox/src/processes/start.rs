//! From a request to the frame that starts a program.

use wasm_sandbox_protocol::agent::{
    self, Bytes, HostToAgent, MAX_DATA, OperationId, PtySize as AgentPtySize,
};
use wasm_sandbox_protocol::json::{DEFAULT_TIME_LIMIT_MS, ErrorCode, Failure, ProcessOptions};

use super::stdin::Stdin;
use crate::channel::Channel;
use crate::content::decode;
use crate::output;

/// Linux takes arguments of up to 128 KiB each (MAX_ARG_STRLEN).
const LONGEST_ARGUMENT: usize = (128 << 10) - 1;
/// All of environment and arguments must fit into one frame and into the guest's limits.
const LARGEST_ENVIRONMENT: usize = 512 << 10;
/// Standard input that goes with them in the same frame.
const LARGEST_INLINE: usize = MAX_DATA - LARGEST_ENVIRONMENT - LONGEST_ARGUMENT - (64 << 10);
/// Output may wait this long for more of it: fewer frames, and nobody looks at it before the end.
const OUTPUT_DELAY_MS: u16 = 50;
/// The same when somebody looks at it.
const STREAM_DELAY_MS: u16 = 20;
/// Default of `max_output_bytes` in the background.
const BACKGROUND_OUTPUT_BYTES: u64 = 1 << 20;

/// What goes with the first frame of standard input.
enum Early {
    /// There is none.
    Nothing,
    /// All of it.
    All(Vec<u8>),
    /// Nothing, it comes later.
    Later,
}

/// A program to be started.
pub(crate) struct Start {
    pub(crate) argv: Vec<String>,
    pub(crate) options: ProcessOptions,
    /// What `process_list` shows.
    pub(crate) command: String,
}

impl Start {
    /// `argv` with `options`.
    pub(crate) fn new(argv: Vec<String>, options: ProcessOptions) -> Self {
        let command = shorten(&argv.join(" "));
        Self { argv, options, command }
    }

    /// `command` in bash with `options`.
    pub(crate) fn shell(command: String, options: ProcessOptions) -> Self {
        let shown = shorten(&command);
        Self { argv: vec!["/bin/bash".into(), "-c".into(), command], options, command: shown }
    }

    /// Longest run time in milliseconds, if there is one.
    pub(crate) fn time_limit_ms(&self) -> Option<u64> {
        self.options.time_limit_ms.or((!self.options.background).then_some(DEFAULT_TIME_LIMIT_MS))
    }

    /// Bytes kept of each stream.
    pub(crate) fn output_limit(&self) -> usize {
        let default =
            if self.options.background { BACKGROUND_OUTPUT_BYTES } else { output::DEFAULT_LIMIT as u64 };
        self.options.max_output_bytes.unwrap_or(default) as usize
    }

    /// # Errors
    /// What Linux would not take, and what is not base64.
    pub(crate) fn send(&mut self, op: OperationId, channel: &mut Channel) -> Result<Stdin, Failure> {
        self.check_size()?;
        let (inline, stdin) = self.take_stdin()?;
        let time_limit_ms = self.time_limit_ms();
        let Self { argv, options, .. } = self;
        let observed = options.stream || options.background;
        let milliseconds = |limit: u64| u32::try_from(limit).unwrap_or(u32::MAX);
        channel.send(&HostToAgent::Exec(agent::Exec {
            op,
            argv: argv.iter().map(|argument| argument.as_str().into()).collect(),
            env: options
                .env
                .iter()
                .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
                .collect(),
            clear_env: options.clear_env,
            cwd: options.cwd.as_deref().map(Bytes::from),
            user: options.user.as_deref().map(Bytes::from),
            stdin: match &inline {
                Early::Nothing => agent::Stdin::Null,
                Early::All(bytes) => agent::Stdin::Inline(bytes.as_slice().into()),
                Early::Later => agent::Stdin::Stream,
            },
            time_limit_ms: time_limit_ms.map(milliseconds),
            cpu_time_limit_ms: options.cpu_time_limit_ms.map(milliseconds),
            pty: options.pty.map(|size| AgentPtySize { cols: size.cols, rows: size.rows }),
            announce_start: observed || options.open_stdin || options.pty.is_some(),
            output_delay_ms: if observed { STREAM_DELAY_MS } else { OUTPUT_DELAY_MS },
        }));
        Ok(stdin)
    }

    /// What goes with the first frame, and what comes later.
    fn take_stdin(&mut self) -> Result<(Early, Stdin), Failure> {
        let given = self.options.stdin.take();
        let open = self.options.open_stdin || self.options.pty.is_some();
        if given.is_none() && !open {
            return Ok((Early::Nothing, Stdin::closed()));
        }
        let bytes = decode("stdin", given.unwrap_or_default(), self.options.stdin_encoding)?;
        if open || bytes.len() > LARGEST_INLINE {
            return Ok((Early::Later, Stdin::new(bytes, open)));
        }
        Ok((Early::All(bytes), Stdin::closed()))
    }

    fn check_size(&self) -> Result<(), Failure> {
        let variables: usize =
            self.options.env.iter().map(|(name, value)| name.len() + value.len() + 16).sum();
        let arguments: usize = self.argv.iter().map(|argument| argument.len() + 16).sum();
        let longest = self.argv.iter().map(String::len).max().unwrap_or(0);
        if longest > LONGEST_ARGUMENT || variables + arguments > LARGEST_ENVIRONMENT + LONGEST_ARGUMENT {
            return Err(Failure::new(
                ErrorCode::TooLarge,
                format!(
                    "Linux takes commands of at most {LONGEST_ARGUMENT} bytes and this program environments of at \
                     most {LARGEST_ENVIRONMENT}: write a script with `write_file` and run that"
                ),
            ));
        }
        Ok(())
    }
}

fn shorten(text: &str) -> String {
    const LONGEST: usize = 1000;
    if text.len() <= LONGEST {
        text.to_owned()
    } else {
        format!("{}…", &text[..text.floor_char_boundary(LONGEST)])
    }
}
