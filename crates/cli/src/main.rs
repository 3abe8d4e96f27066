//! `wasm-sandbox`: a real Linux in a sandbox made of WebAssembly, driven by JSON lines.

mod arguments;
mod artifacts;
mod backlog;
mod lines;
mod logging;
mod serve;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use wasm_sandbox::{Sandbox, SandboxConfig};

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(arguments.verbose);
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wasm-sandbox: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let image = match &arguments.image {
        Some(directory) => artifacts::image_from(directory)?,
        None => artifacts::default_image()?,
    };
    let sandbox = Sandbox::start(SandboxConfig {
        engine: artifacts::engine()?,
        image,
        memory_limit_bytes: arguments.memory_limit_bytes(),
        kernel_log: arguments.verbose,
    })?;
    serve::serve(sandbox, std::io::stdin().lock(), std::io::stdout())
}
