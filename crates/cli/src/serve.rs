//! The server on standard input and output: a line in, a line out.

use std::io::{BufRead, Write};
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, Result};
use wasm_sandbox::Sandbox;
use wasm_sandbox::protocol::json::{ErrorCode, ParsedLine, RequestError, Response, parse_line};

use crate::backlog::{Backlog, Share};
use crate::lines::{LONGEST_LINE, Line, read_line};

/// Serves until `input` ends and everything is answered, or nobody reads `output` any more.
pub fn serve(sandbox: Sandbox, mut input: impl BufRead, output: impl Write + Send + 'static) -> Result<()> {
    let (answers, answered) = channel();
    let writer = std::thread::Builder::new()
        .name("writer".into())
        .spawn(move || write_answers(answered, output))
        .context("the host gives no thread for the answers")?;
    let backlog = Backlog::default();
    while let Some(line) = read_line(&mut input, LONGEST_LINE).context("cannot read standard input")? {
        let (length, parsed) = match &line {
            Line::Whole(bytes) => (bytes.len(), parse_line(bytes)),
            Line::TooLong => (0, too_long()),
        };
        drop(line);
        let share = backlog.add(length);
        let answers = answers.clone();
        sandbox.submit(parsed, move |response| {
            // Without a writer there is nobody left to answer to.
            let _ = answers.send((response, share));
        });
        if writer.is_finished() {
            break;
        }
    }
    // Waits until all is answered.
    drop(sandbox);
    drop(answers);
    writer.join().ok().context("the writer of answers panicked")
}

/// Writes answers until there can be no more, or nobody reads them.
fn write_answers(answered: Receiver<(Response, Share)>, mut output: impl Write) {
    for (response, share) in answered {
        let written = to_line(&response).and_then(|line| output.write_all(&line)).and_then(|()| output.flush());
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
    ParsedLine { kind: None, id: None, request: Err(RequestError { code: ErrorCode::LineTooLong, message }) }
}
