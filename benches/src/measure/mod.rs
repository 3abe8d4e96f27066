//! What is measured, one file a subject.

pub mod idle;
pub mod memory;
pub mod requests;
pub mod resets;
pub mod start;
pub mod states;
pub mod work;

use crate::client::Program;
use crate::native::Native;
use crate::qemu::Qemu;
use crate::report::Report;
use crate::samples::Samples;
use crate::shell::Shell;
use crate::v86::{Machine, V86};
use crate::workloads::Size;
use anyhow::Result;

/// What is measured, with its references as far as there are any, and where the figures go.
pub struct Bench {
    /// The sandbox.
    pub program: Program,
    /// How much.
    pub size: Size,
    /// The guest's programs on the host.
    pub native: Option<Native>,
    /// In QEMU.
    pub qemu: Option<Qemu>,
    /// In v86 on Node, with what it takes to start it again.
    pub v86: Option<(V86, Machine)>,
    /// Times of the references from their start to their first answer, in milliseconds.
    pub reference_starts: ReferenceStarts,
    /// The figures.
    pub report: Report,
}

/// Times in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReferenceStarts {
    /// QEMU boots.
    pub qemu: Option<f64>,
    /// v86 boots on Node.
    pub v86: Option<f64>,
    /// v86 on Node goes on from its saved state.
    pub v86_restore: Option<f64>,
}

impl Bench {
    /// `quick` or `full`.
    pub fn pick(&self, quick: usize, full: usize) -> usize {
        if self.size == Size::Quick { quick } else { full }
    }

    /// Medians of a command in native, QEMU and v86, in milliseconds, after one run that does not count.
    pub fn medians(&mut self, command: &str, runs: usize) -> Result<Medians> {
        fn median(
            shell: Option<&mut (impl Shell + ?Sized)>,
            command: &str,
            runs: usize,
        ) -> Result<Option<f64>> {
            shell.map(|shell| samples(shell, command, runs).map(|samples| samples.median())).transpose()
        }
        Ok(Medians {
            native: median(self.native.as_mut(), command, runs)?,
            qemu: median(self.qemu.as_mut(), command, runs)?,
            v86: median(self.v86.as_mut().map(|(_, machine)| machine), command, runs)?,
        })
    }
}

/// Times of the same in the references, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Medians {
    /// On the host's processor.
    pub native: Option<f64>,
    /// In QEMU.
    pub qemu: Option<f64>,
    /// In v86 on Node.
    pub v86: Option<f64>,
}

/// Times of a command, after a run that does not count.
pub fn samples(shell: &mut (impl Shell + ?Sized), command: &str, runs: usize) -> Result<Samples> {
    shell.run(command)?;
    (0..runs).map(|_| Ok(shell.run(command)?.duration)).collect()
}

/// Bytes in megabytes.
pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
