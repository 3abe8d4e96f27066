//! The server on standard input and output: a line in, a line out, and events between them.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use anyhow::{Context, Result};
use wasm_sandbox::protocol::json::{ErrorCode, ParsedLine, RequestError, parse_line};
use wasm_sandbox::{Fleet, Input, Transport};

use crate::backlog::{Backlog, LARGEST_BACKLOG};
use crate::hang_up;
use crate::lines::{LONGEST_LINE, Line, read_line};
use crate::output::{LARGEST_UNREAD, LineClient, Output};

/// The limits of what goes through here.
pub const TRANSPORT: Transport = Transport {
    line_bytes: LONGEST_LINE as u64,
    backlog_bytes: LARGEST_BACKLOG as u64,
    unread_bytes: LARGEST_UNREAD as u64,
};

/// Serves until `input` ends and everything is answered, or nobody reads `target` any more.
pub fn serve(
    fleet: Fleet,
    input: impl BufRead + Send + 'static,
    target: impl Write + Send + 'static,
) -> Result<()> {
    let (inputs, received) = channel();
    let output = Output::default();
    let reader = {
        let (inputs, output) = (inputs.clone(), output.clone());
        move || {
            if let Err(error) = read_all(input, &inputs, &output) {
                tracing::error!(%error, "standard input cannot be read any further");
            }
            let _the_fleet_has_ended = inputs.send(Input::End);
        }
    };
    let writer = {
        let (inputs, output) = (inputs.clone(), output.clone());
        move || output.write_to(target, &inputs)
    };
    let start = |name: &str, work: Box<dyn FnOnce() + Send>| {
        std::thread::Builder::new().name(name.into()).spawn(work).context("the host gives no thread")
    };
    let hang_up = {
        let inputs = inputs.clone();
        move || {
            if hang_up::wait(std::io::stdout()) {
                let _the_fleet_has_ended = inputs.send(Input::Stop);
            }
        }
    };
    // These may wait for ever, so nobody waits for them.
    start("reader", Box::new(reader))?;
    start("hang-up", Box::new(hang_up))?;
    let writer = start("writer", Box::new(writer))?;
    fleet.run(&received, &inputs);
    output.end();
    // A panic of the writer was reported by the panic hook already.
    let _ = writer.join();
    Ok(())
}

/// Reads lines until there are no more or nobody takes them.
fn read_all(mut input: impl BufRead, fleet: &Sender<Input>, output: &Output) -> std::io::Result<()> {
    let backlog = Backlog::default();
    while let Some(line) = read_line(&mut input, LONGEST_LINE)? {
        let (length, parsed) = match &line {
            Line::Whole(bytes) => (bytes.len(), parse_line(bytes)),
            Line::TooLong => (0, too_long()),
        };
        drop(line);
        let client = LineClient::new(output, backlog.add(length));
        if fleet.send(Input::Line(Box::new(parsed), Arc::new(client))).is_err() {
            break;
        }
    }
    Ok(())
}

fn too_long() -> ParsedLine {
    let message = format!(
        "the line has more than {LONGEST_LINE} bytes and was skipped: send large files in parts, for instance with \
         `write_file` and \"append\":true"
    );
    ParsedLine {
        kind: None,
        id: None,
        sandbox: None,
        concurrent: false,
        request: Err(RequestError { code: ErrorCode::LineTooLong, message }),
    }
}
