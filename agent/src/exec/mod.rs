//! Running programs.

mod environment;
mod input;
mod launch;
mod output;
mod process;
mod waiting;

pub use launch::{Launcher, Program};
pub use process::{Process, Progress};
pub use waiting::WaitingShells;
