//! Randomness for the machine: from the host's operating system, or from a seed.

use sha2::{Digest, Sha256};

/// Who draws random numbers. From one seed, each gets others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The processor's instructions.
    Cpu,
    /// The entropy device.
    Device,
    /// What the host gives to the guest's kernel when a machine goes on.
    Greeting,
    /// Names that the host makes up.
    Names,
}

/// A buffered source of random bytes.
pub struct Entropy {
    /// Seed, purpose and number of the next block; without it, the host's randomness.
    seeded: Option<(u64, Purpose, u64)>,
    buffer: [u8; BUFFER],
    used: usize,
}

/// One system call fills so many bytes.
const BUFFER: usize = 256;
/// Bytes of a SHA-256 sum.
const BLOCK: usize = 32;

impl Entropy {
    /// The host's randomness, or with `seed` bytes that depend on it and `purpose` alone: sums of both and a counter.
    pub fn new(seed: Option<u64>, purpose: Purpose) -> Self {
        Self { seeded: seed.map(|seed| (seed, purpose, 0)), buffer: [0; BUFFER], used: BUFFER }
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// Fills `target` with random bytes; used bytes are not kept.
    pub fn fill(&mut self, target: &mut [u8]) {
        for byte in target {
            if self.used == BUFFER {
                self.refill();
                self.used = 0;
            }
            *byte = std::mem::take(&mut self.buffer[self.used]);
            self.used += 1;
        }
    }

    fn refill(&mut self) {
        let Some((seed, purpose, number)) = &mut self.seeded else {
            // getrandom(2) fails only on kernels without it; the guest mixes other sources in too.
            if let Err(error) = getrandom::fill(&mut self.buffer) {
                tracing::warn!(%error, "the host has no randomness");
            }
            return;
        };
        for block in self.buffer.chunks_mut(BLOCK) {
            let sum = Sha256::new()
                .chain_update(seed.to_le_bytes())
                .chain_update([*purpose as u8])
                .chain_update(number.to_le_bytes());
            block.copy_from_slice(&sum.finalize());
            *number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(seed: Option<u64>, purpose: Purpose) -> Vec<u8> {
        let mut bytes = vec![0; 3 * BUFFER];
        Entropy::new(seed, purpose).fill(&mut bytes);
        bytes
    }

    #[test]
    fn a_seed_and_a_purpose_give_their_own_bytes() {
        let one = bytes(Some(1), Purpose::Cpu);
        assert_eq!(one, bytes(Some(1), Purpose::Cpu));
        for other in
            [bytes(Some(2), Purpose::Cpu), bytes(Some(1), Purpose::Device), bytes(None, Purpose::Cpu)]
        {
            assert_ne!(one, other);
        }
        assert_ne!(one[..BUFFER], one[BUFFER..2 * BUFFER]);
        assert_ne!(bytes(None, Purpose::Cpu), bytes(None, Purpose::Cpu));
    }
}
