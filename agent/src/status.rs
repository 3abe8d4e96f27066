//! The state of the guest as a whole.

use wasm_sandbox_protocol::agent::{OperationId, StatusReport};

use crate::contain::Containment;

/// Collects a report, in which the `waiting` processes that the agent keeps ready are not counted.
pub fn report(op: OperationId, containment: &Containment, operations: usize, waiting: u32) -> StatusReport {
    let info = rustix::system::sysinfo();
    #[allow(clippy::unnecessary_cast, reason = "the type differs between 32 and 64 bits")]
    // The kernel's fixed point has 16 fractional bits.
    let load_hundredths = info.loads.map(|load| ((load as u64 * 100) >> 16) as u32);
    let unit = u64::from(info.mem_unit).max(1);
    let memory_total = info.totalram as u64 * unit;
    let memory_available = memory_available().unwrap_or(info.freeram as u64 * unit);
    let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let totals = containment.totals();
    let (disk_total, disk_used) = match rustix::fs::statvfs("/") {
        Ok(disk) => {
            (disk.f_blocks * disk.f_frsize, disk.f_blocks.saturating_sub(disk.f_bfree) * disk.f_frsize)
        }
        Err(_) => (0, 0),
    };
    StatusReport {
        op,
        uptime_ms: uptime.tv_sec as u64 * 1000 + uptime.tv_nsec as u64 / 1_000_000,
        memory_total,
        memory_available,
        memory_used: memory_total.saturating_sub(memory_available),
        memory_limit: totals.memory_limit,
        processes: totals.processes.unwrap_or(u32::from(info.procs)).saturating_sub(waiting),
        processes_limit: totals.processes_limit,
        operations: operations as u32,
        disk_total,
        disk_used,
        load_hundredths,
        cpu_us: totals.cpu.map(|time| time.as_micros() as u64),
    }
}

/// Bytes a new program could get, as the kernel estimates it.
pub fn memory_available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}
