//! Repository chores that cargo alone cannot do: building and fetching what the program carries
//! inside, and checking, showing and timing the whole.
//!
//! What takes long lands in one cache outside of the repository ([`cache`]). Chores that make something
//! print its path as the last line on stdout; what they do meanwhile goes to stderr.

mod agent;
mod architecture;
mod artifacts;
mod cache;
mod client;
mod cross;
mod engine;
mod image;
mod kernel;
mod progress;
mod recipe;
mod root;
mod session;
mod tidy;
mod v86;

use anyhow::Result;
use architecture::Architecture;
use cache::Cache;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Repository chores: builds and fetches what the sandbox runs on")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build the image (kernel and root file system), or find it in the cache
    Image {
        /// Compilers at a time; by default one a processor
        #[arg(long, short)]
        jobs: Option<usize>,
        /// Only this part of the image
        #[arg(long, value_enum)]
        only: Option<Part>,
        /// What it is for
        #[arg(long, value_enum, default_value = "x86_64")]
        arch: Architecture,
    },
    /// Build the program inside the guest, or find it in the cache
    Agent {
        /// What it is for
        #[arg(long, value_enum, default_value = "x86_64")]
        arch: Architecture,
    },
    /// Build this project's own CPU engine, wx86.wasm, or find it in the cache
    Engine,
    /// Put together all that the program carries inside, in target/artifacts
    Artifacts {
        /// Compilers at a time; by default one a processor
        #[arg(long, short)]
        jobs: Option<usize>,
    },
    /// Fetch the CPU engine v86.wasm, or find it in the cache
    V86,
    /// Check what no compiler looks at: lengths, names of hosts, paths, links, features
    Tidy,
    /// Show a session with a real sandbox
    Session,
}

/// One of the two halves of an image.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Part {
    /// The kernel, `vmlinux`
    Kernel,
    /// The root file system, `root.erofs.zst`
    Root,
}

fn main() -> ExitCode {
    match run(Arguments::parse().chore) {
        Ok(made) => {
            if let Some(path) = made {
                println!("{}", path.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does a chore; returns the path of what it made.
fn run(chore: Chore) -> Result<Option<PathBuf>> {
    let made = match chore {
        Chore::Image { jobs, only: None, arch } => image::build(&Cache::open()?, arch, jobs)?,
        Chore::Image { jobs, only: Some(Part::Kernel), arch } => {
            kernel::build(&Cache::open()?, arch, jobs)?.directory
        }
        Chore::Image { only: Some(Part::Root), arch, .. } => root::build(&Cache::open()?, arch)?.directory,
        Chore::Agent { arch } => agent::build(&Cache::open()?, arch)?,
        Chore::Engine => engine::build(&Cache::open()?)?,
        Chore::Artifacts { jobs } => artifacts::assemble(&Cache::open()?, jobs)?,
        Chore::V86 => v86::fetch(&Cache::open()?)?,
        Chore::Tidy => return tidy::check().map(|()| None),
        Chore::Session => return session::show().map(|()| None),
    };
    Ok(Some(made))
}
