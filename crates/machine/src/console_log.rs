//! What the kernel says on its consoles: to the log, and kept for the moment it panics.

/// Longest line that is kept.
const LONGEST_LINE: usize = 1024;
/// How the kernel starts its last words.
const PANIC: &str = "Kernel panic - not syncing: ";

/// Cuts console output into lines.
#[derive(Debug, Default)]
pub(crate) struct ConsoleLog {
    line: Vec<u8>,
    panic: Option<String>,
}

impl ConsoleLog {
    /// Adds output as it came.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                b'\r' => {}
                byte if self.line.len() < LONGEST_LINE => self.line.push(*byte),
                _ => {}
            }
        }
    }

    /// What the kernel said when it panicked.
    pub(crate) fn panic_message(&self) -> Option<String> {
        self.panic.clone()
    }

    fn end_line(&mut self) {
        let text = String::from_utf8_lossy(&self.line);
        tracing::info!(target: "guest", "{text}");
        if let Some((_, message)) = text.split_once(PANIC) {
            self.panic.get_or_insert_with(|| message.to_owned());
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_panic_is_kept() {
        let mut log = ConsoleLog::default();
        log.add(b"[    1.0] hello\r\n[    2.0] Kernel panic - not syncing: Attempted to ki");
        assert_eq!(log.panic_message(), None);
        log.add(b"ll init!\r\nKernel panic - not syncing: again\n");
        assert_eq!(log.panic_message().as_deref(), Some("Attempted to kill init!"));
    }

    #[test]
    fn endless_lines_take_no_memory() {
        let mut log = ConsoleLog::default();
        log.add(&[b'x'; 100_000]);
        assert_eq!(log.line.len(), LONGEST_LINE);
    }
}
