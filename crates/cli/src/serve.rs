//! The server on standard input and output: a line in, a line out.

use std::io::{BufRead, Write};
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context, Result};
use wasm_sandbox::Fleet;
use wasm_sandbox::protocol::json::{ErrorCode, ParsedLine, RequestError, Response, parse_line};

use crate::backlog::{Backlog, Share};
use crate::lines::{LONGEST_LINE, Line, read_line};

/// Serves until `input` ends and everything is answered, or nobody reads `output` any more.
pub fn serve(fleet: Fleet, input: impl BufRead + Send + 'static, output: impl Write) -> Result<()> {
    let (lines, received) = channel();
    // It may wait for a line for ever, so nobody waits for it.
    std::thread::Builder::new()
        .name("reader".into())
        .spawn(move || {
            if let Err(error) = read_all(input, &lines) {
                tracing::error!(%error, "standard input cannot be read any further");
            }
        })
        .context("the host gives no thread for standard input")?;
    answer_all(fleet, received, output);
    Ok(())
}

/// Reads lines until there are no more or nobody takes them.
fn read_all(mut input: impl BufRead, lines: &Sender<(ParsedLine, Share)>) -> std::io::Result<()> {
    let backlog = Backlog::default();
    while let Some(line) = read_line(&mut input, LONGEST_LINE)? {
        let (length, parsed) = match &line {
            Line::Whole(bytes) => (bytes.len(), parse_line(bytes)),
            Line::TooLong => (0, too_long()),
        };
        drop(line);
        if lines.send((parsed, backlog.add(length))).is_err() {
            break;
        }
    }
    Ok(())
}

/// Answers every line, in order, until there are no more or nobody reads the answers.
fn answer_all(mut fleet: Fleet, received: Receiver<(ParsedLine, Share)>, mut output: impl Write) {
    for (line, share) in received {
        let response = fleet.carry_out(line);
        let written =
            to_line(&response).and_then(|line| output.write_all(&line)).and_then(|()| output.flush());
        drop(share);
        if let Err(error) = written {
            tracing::debug!(%error, "nobody reads the answers any more");
            break;
        }
    }
}

fn to_line(response: &Response) -> std::io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(response)?;
    line.push(b'\n');
    Ok(line)
}

fn too_long() -> ParsedLine {
    let message = format!(
        "the line has more than {LONGEST_LINE} bytes and was skipped: send large files in parts, for instance with \
         several `shell` requests that append their `stdin`"
    );
    ParsedLine {
        kind: None,
        id: None,
        sandbox: None,
        request: Err(RequestError { code: ErrorCode::LineTooLong, message }),
    }
}
