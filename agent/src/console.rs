//! What people see on the guest's console.

/// Writes one line to standard error, which PID 1 made the console. Errors have nowhere to go.
#[macro_export]
macro_rules! log {
    ($($part:tt)*) => {
        $crate::console::line(&format!($($part)*))
    };
}

/// Writes `text` as one line with the agent's name before it.
pub fn line(text: &str) {
    use std::io::Write;
    let _nowhere_to_report = std::io::stderr().write_all(format!("agent: {text}\n").as_bytes());
}
