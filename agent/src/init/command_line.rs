//! What the host says on the kernel's command line.

use super::Trouble;

/// The prefix of all parameters for the agent. The kernel takes words with a dot for parameters of its modules and does
/// not pass them on to programs.
const PREFIX: &str = "wasm_sandbox.";

/// Processes and threads the sandbox may have for each MiB of RAM: a fork bomb then takes about half of the memory.
const PROCESSES_PER_MIB: u64 = 8;

/// The parameters, with their defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// `wasm_sandbox.root=/dev/vda`: the block device with the read-only root.
    pub root: String,
    /// `wasm_sandbox.rootfstype=erofs`: its file system.
    pub root_type: String,
    /// `wasm_sandbox.overlay_size=75%`: the most the writable layer may hold, as tmpfs understands `size=`.
    pub overlay_size: String,
    /// `wasm_sandbox.processes=N`: processes and threads of all operations; 0 for no limit.
    pub processes: Option<u64>,
    /// `wasm_sandbox.memory_reserve_mb=N`: memory that the sandbox's processes cannot take from kernel and agent.
    pub memory_reserve_mb: Option<u64>,
    /// `wasm_sandbox.emergency=shell`: when the start fails, offer a shell on the console instead of restarting.
    pub emergency_shell: bool,
}

impl Default for CommandLine {
    fn default() -> Self {
        Self {
            root: "/dev/vda".into(),
            root_type: "erofs".into(),
            overlay_size: "75%".into(),
            processes: None,
            memory_reserve_mb: None,
            emergency_shell: false,
        }
    }
}

impl CommandLine {
    /// Reads `/proc/cmdline`.
    pub fn read() -> Result<Self, Trouble> {
        let text = std::fs::read_to_string("/proc/cmdline");
        Ok(Self::parse(&text.map_err(|error| Trouble::new("read the kernel's command line", error))?))
    }

    fn parse(text: &str) -> Self {
        let mut options = Self::default();
        for word in text.split_whitespace().filter_map(|word| word.strip_prefix(PREFIX)) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "root" => options.root = value.into(),
                "rootfstype" => options.root_type = value.into(),
                "overlay_size" => options.overlay_size = value.into(),
                "processes" => options.processes = value.parse().ok(),
                "memory_reserve_mb" => options.memory_reserve_mb = value.parse().ok(),
                "emergency" => options.emergency_shell = value == "shell",
                _ => crate::log!("the kernel's command line has an unknown parameter {PREFIX}{name}"),
            }
        }
        options
    }

    /// The limit on processes and threads.
    pub fn process_limit(&self) -> Option<u64> {
        self.process_limit_for(memory())
    }

    /// The limit on memory in bytes.
    pub fn memory_limit(&self) -> Option<u64> {
        self.memory_limit_for(crate::status::memory_available().unwrap_or_else(memory))
    }

    fn process_limit_for(&self, memory: u64) -> Option<u64> {
        match self.processes {
            Some(0) => None,
            Some(limit) => Some(limit),
            None => Some(((memory >> 20) * PROCESSES_PER_MIB).clamp(256, 4096)),
        }
    }

    /// Below the memory that is available, so that the out-of-memory killer acts among the sandbox's processes.
    fn memory_limit_for(&self, memory: u64) -> Option<u64> {
        let reserve = self
            .memory_reserve_mb
            .map_or((memory / 16).clamp(8 << 20, 32 << 20), |megabytes| megabytes << 20);
        memory.checked_sub(reserve).filter(|limit| *limit > 0)
    }
}

fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram as u64 * u64::from(info.mem_unit).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_replace_defaults_and_others_are_left_alone() {
        let options = CommandLine::parse(
            "console=ttyS0 quiet wasm_sandbox.root=/dev/vdb wasm_sandbox.processes=99 panic=-1\n",
        );
        let expected = CommandLine { root: "/dev/vdb".into(), processes: Some(99), ..CommandLine::default() };
        assert_eq!(options, expected);
    }

    #[test]
    fn limits_follow_the_memory_unless_they_are_given() {
        let options = CommandLine::default();
        assert_eq!(options.memory_limit_for(256 << 20), Some(240 << 20));
        assert_eq!(options.memory_limit_for(32 << 20), Some(24 << 20));
        assert_eq!(options.process_limit_for(256 << 20), Some(2048));
        assert_eq!(options.process_limit_for(2 << 30), Some(4096));
        assert_eq!(
            CommandLine { processes: Some(0), ..CommandLine::default() }.process_limit_for(1 << 30),
            None
        );
        let options = CommandLine { memory_reserve_mb: Some(300), ..CommandLine::default() };
        assert_eq!(options.memory_limit_for(256 << 20), None);
    }
}
