//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// A real Linux in a sandbox made of WebAssembly.
///
/// Reads requests from standard input, one JSON object a line, and writes one answer a line to
/// standard output, in order. Ends when standard input does.
#[derive(Debug, Parser)]
#[command(name = "wasm-sandbox", version)]
pub struct Arguments {
    /// Memory of the guest in MiB, from 64 to 2047
    #[arg(long, value_name = "MB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(64..=2047))]
    pub memory_limit: u64,

    /// Boot the image in this directory instead of the one inside the program
    #[arg(long, value_name = "DIR")]
    pub image: Option<PathBuf>,

    /// Show the kernel's log and what the program does on standard error
    #[arg(long, short)]
    pub verbose: bool,
}

impl Arguments {
    /// Memory of the guest in bytes.
    pub fn memory_limit_bytes(&self) -> u64 {
        self.memory_limit << 20
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
