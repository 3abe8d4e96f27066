//! Names, limits and switches of the running system.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Files in `/proc/sys` and what is written to them.
const SWITCHES: [(&str, &str); 3] = [
    // A panic becomes a restart at once, which the host sees; by default the kernel would spin for ever.
    ("/proc/sys/kernel/panic", "-1"),
    // A core file of a crashed program would fill the writable layer, which is memory.
    ("/proc/sys/kernel/core_pattern", "core"),
    // Programs of all users may use ping.
    ("/proc/sys/net/ipv4/ping_group_range", "0 2147483647"),
];

/// Applies all of it. None is worth failing for.
pub fn apply() {
    for (file, value) in SWITCHES {
        let _not_in_this_kernel = std::fs::write(file, value);
    }
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let name = name.trim();
    if !name.is_empty()
        && let Err(error) = rustix::system::sethostname(name.as_bytes())
    {
        crate::log!("cannot set the host name {name:?}: {}", crate::failure::describe(error));
    }
    if let Err(error) = crate::sys::loopback::up() {
        crate::log!("cannot bring the loopback interface up: {error}");
    }
    // Many programs still use select, which breaks beyond 1024; whoever needs more raises the soft limit.
    let limits = [
        (Resource::Nofile, Some(1024), Some(524_288)),
        (Resource::Core, Some(0), None),
        (Resource::Memlock, Some(8 << 20), Some(8 << 20)),
    ];
    for (resource, current, maximum) in limits {
        let _the_defaults_do = setrlimit(resource, Rlimit { current, maximum });
    }
}

/// Exempts PID 1 from the out-of-memory killer. Only now: children would inherit it.
pub fn protect_pid_1() {
    let _without_it_the_kernel_protects_pid_1_all_the_same =
        std::fs::write("/proc/self/oom_score_adj", "-1000");
}
