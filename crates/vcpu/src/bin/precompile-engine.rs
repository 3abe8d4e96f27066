//! `precompile-engine v86.wasm v86.cwasm`: compiles a CPU engine ahead of time, for the program to
//! carry.

use std::process::ExitCode;

use wasm_sandbox_vcpu::EngineModule;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [wasm, code] = arguments.as_slice() else {
        eprintln!("usage: precompile-engine WASM CODE");
        return ExitCode::FAILURE;
    };
    let compiled = std::fs::read(wasm)
        .map_err(|error| format!("{}: {error}", wasm.display()))
        .and_then(|bytes| EngineModule::precompile(&bytes).map_err(|error| error.to_string()))
        .and_then(|bytes| {
            std::fs::write(code, bytes).map_err(|error| format!("{}: {error}", code.display()))
        });
    match compiled {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("precompile-engine: {message}");
            ExitCode::FAILURE
        }
    }
}
