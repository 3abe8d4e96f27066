//! Running programs.

mod environment;
mod input;
mod launch;
mod output;
mod process;

pub use launch::Launcher;
pub use process::{Process, Progress};
