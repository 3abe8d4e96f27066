//! Repository chores that cargo alone cannot do: building the image a sandbox boots, and fetching
//! the CPU engine. Everything lands in one cache outside of the repository ([`cache`]); the last
//! line on stdout is always the path of what was asked for, everything else goes to stderr.

mod agent;
mod cache;
mod image;
mod kernel;
mod progress;
mod recipe;
mod root;
mod v86;

use anyhow::Result;
use cache::Cache;
use clap::{Parser, Subcommand};

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
    },
    /// Build the program inside the guest, or find it in the cache
    Agent,
    /// Fetch the CPU engine v86.wasm, or find it in the cache
    V86,
}

/// One of the two halves of an image.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Part {
    /// The kernel, `vmlinux`
    Kernel,
    /// The root file system, `root.erofs.zst`
    Root,
}

fn main() -> Result<()> {
    let cache = Cache::open()?;
    let path = match Arguments::parse().chore {
        Chore::Image { jobs, only } => match only {
            None => image::build(&cache, jobs)?,
            Some(Part::Kernel) => kernel::build(&cache, jobs)?.directory,
            Some(Part::Root) => root::build(&cache)?.directory,
        },
        Chore::Agent => agent::build(&cache)?,
        Chore::V86 => v86::fetch(&cache)?,
    };
    println!("{}", path.display());
    Ok(())
}
