//! A session for people to look at: sends the requests of `docs/session.jsonl` to a real sandbox and
//! shows each with its answer.

use crate::client::Client;
use crate::recipe;
use anyhow::{Context, Result};
use std::fs;
use std::io::{IsTerminal, Write, stdout};

/// Requests, one a line.
const REQUESTS: &str = "docs/session.jsonl";

/// Plays the session on standard output.
pub fn show() -> Result<()> {
    let path = recipe::repository().join(REQUESTS);
    let requests = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let (bold, plain) = if stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let mut output = stdout().lock();
    let mut client = Client::start(&[])?;
    for request in requests.lines() {
        writeln!(output, "{bold}-> {request}{plain}")?;
        output.flush()?;
        let (answer, duration) = client.ask(request)?;
        writeln!(output, "<- {answer}\n   ({} ms)\n", duration.as_millis())?;
    }
    client.finish()
}
