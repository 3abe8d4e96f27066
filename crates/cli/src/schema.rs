//! `wasm-sandbox schema`.

use std::io::Write;

use anyhow::Result;
use wasm_sandbox::protocol::json;

/// Prints the JSON Schema of all messages, or the reference made from it.
pub fn print(reference: bool) -> Result<()> {
    let text = match reference {
        true => json::reference(),
        false => serde_json::to_string_pretty(&json::schema())? + "\n",
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
