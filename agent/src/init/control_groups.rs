//! The controllers for the sandbox's control group.

const CONTROLLERS: &str = "/sys/fs/cgroup/cgroup.subtree_control";

/// Enables what the kernel has; the server then sets the limits.
pub fn enable() {
    for controller in ["+memory", "+pids", "+cpu"] {
        if let Err(error) = std::fs::write(CONTROLLERS, controller) {
            crate::log!("control groups without {}: {error}", controller.trim_start_matches('+'));
        }
    }
}
