//! The command line.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use wasm_sandbox::{Arch, ClockSource, EngineKind, Sources};

/// A real Linux in a sandbox made of WebAssembly.
///
/// Reads requests from standard input, one JSON object a line, and writes one answer a line to
/// standard output, in order. Ends when standard input does.
#[derive(Clone, Debug, Parser)]
#[command(name = "wasm-sandbox", version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,

    #[command(flatten)]
    pub machine: MachineArguments,

    /// Go on from this file, made by the request `save`, with the memory size it has
    #[arg(long, value_name = "FILE", global = true, conflicts_with_all = ["no_snapshot", "memory_limit"])]
    pub snapshot: Option<PathBuf>,

    /// Power the machine on instead of starting from the prepared snapshot
    #[arg(long, global = true)]
    pub no_snapshot: bool,
}

/// What else the program can do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Make the snapshot that sandboxes start from, ahead of the first start; with `--snapshot`, compile what that file has
    /// translated, so that its machines are as fast as where it was saved
    Prepare,
    /// Serve the Model Context Protocol on standard input and output instead: the sandbox as tools for language models
    Mcp,
    /// Print the JSON Schema of all messages
    Schema {
        /// Print the reference for people instead, in Markdown
        #[arg(long)]
        reference: bool,
    },
}

/// The machine.
#[derive(Clone, Debug, Args)]
pub struct MachineArguments {
    /// Memory of the guest in MiB, from 64 to 1024
    #[arg(long, value_name = "MB", default_value_t = 256, global = true,
        value_parser = clap::value_parser!(u64).range(64..=1024))]
    pub memory_limit: u64,

    /// Space for files that the guest writes, in MiB; it is guest memory [default: three quarters of it]
    #[arg(long, value_name = "MB", global = true, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub disk_limit: Option<u64>,

    /// Processes and threads that requests may have at a time [default: 8 for each MiB of memory]
    #[arg(long, value_name = "N", global = true, value_parser = clap::value_parser!(u64).range(8..=32768))]
    pub process_limit: Option<u64>,

    /// What emulates the guest's processor
    #[arg(long, value_name = "ENGINE", default_value_t = EngineKind::default(), global = true,
        value_parser = PossibleValuesParser::new(EngineKind::ALL.map(EngineKind::name))
            .try_map(|name| EngineKind::from_name(&name).ok_or("there is no such engine")))]
    pub engine: EngineKind,

    /// What the guest is made for [default: what the image is for; x86_64, or i686 with the engine v86]
    #[arg(long, value_name = "ARCH", global = true,
        value_parser = PossibleValuesParser::new(Arch::ALL.map(Arch::name))
            .try_map(|name| Arch::from_name(&name).ok_or("there is no such architecture")))]
    pub arch: Option<Arch>,

    /// What the guest's time follows: the host's clock, or the instructions it executes, a nanosecond each. The latter needs
    /// `--engine wx86`; with it the same requests have the same results, to the last bit
    #[arg(long, value_name = "CLOCK", default_value = "host", global = true)]
    pub clock: ClockArgument,

    /// What the guest's random numbers depend on [default: the host's randomness; 0 with `--clock virtual`]
    #[arg(long, value_name = "N", global = true)]
    pub seed: Option<u64>,

    /// Boot the image in this directory instead of the one inside the program
    #[arg(long, value_name = "DIR", global = true)]
    pub image: Option<PathBuf>,

    /// Let `upload` read from this directory of the host; may be given several times
    #[arg(long, value_name = "DIR", global = true)]
    pub allow_read: Vec<PathBuf>,

    /// Let `download` write to this directory of the host; may be given several times
    #[arg(long, value_name = "DIR", global = true)]
    pub allow_write: Vec<PathBuf>,

    /// Show the kernel's log and what the program does on standard error
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

/// What the guest's time follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClockArgument {
    /// The host's clock
    Host,
    /// The instructions the guest executes
    Virtual,
}

impl MachineArguments {
    /// Where the machine's time and random numbers come from.
    pub fn sources(&self) -> Sources {
        match self.clock {
            ClockArgument::Host => Sources { clock: ClockSource::Host, seed: self.seed },
            ClockArgument::Virtual => {
                Sources { clock: ClockSource::Instructions, seed: Some(self.seed.unwrap_or(0)) }
            }
        }
    }

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
