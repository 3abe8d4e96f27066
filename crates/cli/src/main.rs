//! `wasm-sandbox`: a real Linux in a sandbox made of WebAssembly, driven by JSON lines.

mod arguments;
mod artifacts;
mod backlog;
mod cache;
mod hang_up;
mod lines;
mod logging;
mod output;
mod prepare;
mod report;
mod schema;
mod serve;
mod startup;
mod warm_up;

use std::io::BufReader;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use wasm_sandbox::Fleet;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(arguments.machine.verbose);
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wasm-sandbox: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if let Some(Command::Schema { reference }) = arguments.command {
        return schema::print(reference);
    }
    let config = startup::config(&arguments.machine)?;
    match arguments.command {
        Some(Command::Prepare) => prepare::prepare(&config),
        // Served above, without a machine.
        Some(Command::Schema { .. }) => Ok(()),
        None => {
            let config = startup::with_snapshot(config, arguments)?;
            serve::serve(Fleet::start(config)?, BufReader::new(std::io::stdin()), std::io::stdout())
        }
    }
}
