//! The arguments of `agent serve`.

use std::ffi::OsString;
use std::path::PathBuf;

/// What PID 1, or a test, tells the server.
#[derive(Debug, Default)]
pub struct Arguments {
    /// `--connect PATH`: a Unix socket that takes the place of the virtio port.
    pub connect: Option<PathBuf>,
    /// `--cgroup DIR`: the sandbox's control group, made if missing.
    pub cgroup: Option<PathBuf>,
    /// `--gates DIR`: where waiting shells have their FIFOs, made if missing.
    pub gates: Option<PathBuf>,
    /// `--max-processes N`: processes and threads of all operations.
    pub max_processes: Option<u32>,
    /// `--writable FD`: an open descriptor of the writable layer, which came with the process.
    pub writable: Option<i32>,
    /// `--max-memory BYTES`: memory of all operations.
    pub max_memory: Option<u64>,
}

impl Arguments {
    /// Understands them, or says which one not.
    pub fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut parsed = Self::default();
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{} needs a value", name.display()))?;
            let wrong = || format!("{} is no value for {}", value.display(), name.display());
            let number = || value.to_str()?.parse::<u64>().ok();
            match name.to_str() {
                Some("--connect") => parsed.connect = Some(PathBuf::from(&value)),
                Some("--cgroup") => parsed.cgroup = Some(PathBuf::from(&value)),
                Some("--gates") => parsed.gates = Some(PathBuf::from(&value)),
                Some("--max-processes") => {
                    parsed.max_processes =
                        Some(number().and_then(|n| u32::try_from(n).ok()).ok_or_else(wrong)?);
                }
                Some("--writable") => {
                    parsed.writable = Some(number().and_then(|n| i32::try_from(n).ok()).ok_or_else(wrong)?);
                }
                Some("--max-memory") => parsed.max_memory = Some(number().ok_or_else(wrong)?),
                _ => return Err(format!("there is no argument {}", name.display())),
            }
        }
        Ok(parsed)
    }
}
