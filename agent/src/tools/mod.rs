//! The agent as a tool: a process that carries out one request about files, which may take long.
//!
//! The server starts it as any other program, so that time limits, cancelling, flow control and the limits on memory
//! apply. It reads one [`FileRequest`] as a frame from its standard input (and for some what follows it), and writes
//! [`FileReply`] frames to its standard output.

mod copy;
mod find;
mod list;
mod pack;
mod remove;
mod replace;
mod replies;
mod unpack;
mod walk;
mod watch;

use std::io::Read;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wasm_sandbox_protocol::agent::{
    Decoder, Exec, FailureCode, FileReply, FileRequest, OperationId, Stdin, Summary,
};

use crate::failure::Refusal;
use crate::files::quick::{self, Quick};
use replies::Replies;

/// What selects this program.
pub const ARGUMENT: &str = "tool";

/// What replies may wait for others, in milliseconds.
const REPLY_DELAY_MS: u16 = 5;

/// How a tool is started.
pub fn exec(op: OperationId, time_limit_ms: Option<u32>) -> Exec<'static> {
    Exec {
        op,
        argv: vec!["agent".into(), ARGUMENT.into()],
        clear_env: true,
        cwd: Some("/".into()),
        stdin: Stdin::Stream,
        time_limit_ms,
        output_delay_ms: REPLY_DELAY_MS,
        ..Exec::default()
    }
}

/// Whether the host sends more than the request.
pub fn reads_more(request: &FileRequest) -> bool {
    matches!(request, FileRequest::Unpack { .. })
}

/// Carries out the request on standard input.
pub fn run() -> ExitCode {
    // Deep trees need many open directories.
    let limit = getrlimit(Resource::Nofile);
    let _the_usual_must_do =
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    rustix::process::umask(rustix::fs::Mode::empty());

    let mut replies = Replies::new();
    let last = match read_request() {
        Ok(mut decoder) => match decoder.next_frame() {
            Ok(Some(request)) => carry_out(&request, &mut replies),
            _ => Err(Refusal::new(FailureCode::Protocol, "the request is damaged")),
        },
        Err(refusal) => Err(refusal),
    };
    let last = match last {
        Ok(summary) => FileReply::Done(summary),
        Err(Refusal { code, message }) => FileReply::Failed { code, message },
    };
    match replies.send(&last).and_then(|()| replies.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The first frame, and not a byte more.
fn read_request() -> Result<Decoder, Refusal> {
    let damaged = || Refusal::new(FailureCode::Protocol, "the request is damaged");
    let mut stdin = std::io::stdin().lock();
    let mut header = [0; 4];
    stdin.read_exact(&mut header).map_err(|_| damaged())?;
    let length = u32::from_le_bytes(header);
    let mut decoder = Decoder::new();
    decoder.feed(&header);
    let mut body = Vec::new();
    stdin.by_ref().take(length.into()).read_to_end(&mut body).map_err(|_| damaged())?;
    decoder.feed(&body);
    Ok(decoder)
}

fn carry_out(request: &FileRequest, replies: &mut Replies) -> Result<Summary, Refusal> {
    match request {
        FileRequest::List { path, depth, max_entries } => list::list(path, *depth, *max_entries, replies),
        FileRequest::Remove { path, .. } => remove::remove(path),
        FileRequest::Rename { from, to, overwrite } => copy::moved(from, to, *overwrite),
        FileRequest::Copy { from, to, recursive, overwrite } => copy::copy(from, to, *recursive, *overwrite),
        FileRequest::Find(find) => find::find(find, replies),
        FileRequest::Replace(replace) => replace::replace(replace, replies),
        FileRequest::Watch { path, recursive } => watch::watch(path, *recursive, replies),
        FileRequest::Pack { path, form } => pack::pack(path, *form, replies),
        FileRequest::Unpack { path } => unpack::unpack(path, std::io::stdin().lock()),
        FileRequest::Stat { .. }
        | FileRequest::MakeDirectory { .. }
        | FileRequest::Symlink { .. }
        | FileRequest::ChangeMode { .. } => match quick::carry_out(request, &mut |_| {})? {
            Quick::Done(summary) => Ok(summary),
            Quick::Long => Err(Refusal::new(FailureCode::Protocol, "the server does this itself")),
        },
    }
}
