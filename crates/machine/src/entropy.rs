//! Randomness for the machine, from the host's operating system.

/// A buffered source of host randomness.
pub(crate) struct HostEntropy {
    buffer: [u8; BUFFER],
    used: usize,
}

/// One system call fills so many bytes.
const BUFFER: usize = 256;

impl HostEntropy {
    pub(crate) fn new() -> Self {
        Self { buffer: [0; BUFFER], used: BUFFER }
    }

    /// 32 random bits.
    pub(crate) fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// Fills `target` with random bytes; used bytes are not kept.
    pub(crate) fn fill(&mut self, target: &mut [u8]) {
        for byte in target {
            if self.used == BUFFER {
                // getrandom(2) fails only on kernels without it; the guest mixes other sources in too.
                if let Err(error) = getrandom::fill(&mut self.buffer) {
                    tracing::warn!(%error, "the host has no randomness");
                }
                self.used = 0;
            }
            *byte = std::mem::take(&mut self.buffer[self.used]);
            self.used += 1;
        }
    }
}
