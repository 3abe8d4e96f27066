//! `wasm-sandbox`: a real Linux in a sandbox made of WebAssembly, driven by JSON lines.

mod arguments;
mod artifacts;
mod backlog;
mod cache;
mod hang_up;
mod lines;
mod logging;
mod mcp;
mod output;
mod prepare;
mod report;
mod saved_code;
mod schema;
mod serve;
mod startup;
mod warm_up;

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
    startup::raise_file_limit();
    let config = startup::config(&arguments.machine)?;
    match arguments.command {
        Some(Command::Prepare) if arguments.snapshot.is_some() => {
            saved_code::prepare(&startup::with_snapshot(config, arguments)?)
        }
        Some(Command::Prepare) => prepare::prepare(&config),
        // What is wrong with a file is said at once; the prepared snapshot may take minutes to make.
        Some(Command::Mcp) if arguments.snapshot.is_some() => {
            mcp::serve(startup::with_snapshot(config, arguments)?, Ok)
        }
        Some(Command::Mcp) => {
            let arguments = arguments.clone();
            mcp::serve(config, move |config| startup::with_snapshot(config, &arguments))
        }
        // Served above, without a machine.
        Some(Command::Schema { .. }) => Ok(()),
        None => {
            let config = startup::with_snapshot(config, arguments)?;
            serve::serve(Fleet::start(config)?, lines::standard_input(), std::io::stdout())
        }
    }
}
