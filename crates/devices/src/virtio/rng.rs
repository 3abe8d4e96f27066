//! The virtio entropy device (chapter 5.4).

use super::{QueueError, Rings, VirtioDevice, read_config_bytes};
use crate::RestoreError;

const REQUESTQ: usize = 0;
const QUEUE_SIZE: u16 = 16;

/// Most bytes given for one request; a shorter answer than asked for is allowed (5.4.6.1), and
/// Linux asks for less than a hundred.
const LIMIT: u64 = 64 << 10;

/// Where random bytes come from; the machine's one seed, or the host.
pub trait EntropySource {
    /// Fills `target` with random bytes.
    fn fill(&mut self, target: &mut [u8]);
}

impl<S: EntropySource + ?Sized> EntropySource for Box<S> {
    fn fill(&mut self, target: &mut [u8]) {
        (**self).fill(target);
    }
}

/// An entropy device that answers each request at once.
#[derive(Debug)]
pub struct Rng<S> {
    source: S,
}

impl<S: EntropySource> Rng<S> {
    /// A device that hands on what `source` gives.
    pub fn new(source: S) -> Self {
        Self { source }
    }

    /// The source, as for seeding it anew after a restore. Its state is not part of the device's.
    pub fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }
}

impl<S: EntropySource> VirtioDevice for Rng<S> {
    /// All state is in the queue.
    type State = ();

    fn device_id(&self) -> u32 {
        4
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE]
    }

    fn activate(&mut self, _: u64) {}

    fn reset(&mut self) {}

    fn process(&mut self, _: usize, rings: &mut Rings<'_, '_>) -> Result<(), QueueError> {
        while let Some(chain) = rings.pop(REQUESTQ)? {
            let mut written = 0;
            for piece in chain.writable.range(0, LIMIT) {
                self.source.fill(rings.memory.slice_mut(piece.address, piece.length as usize)?);
                written += piece.length;
            }
            rings.push(REQUESTQ, chain, written)?;
        }
        rings.want_notification(REQUESTQ, true)
    }

    fn read_config(&self, offset: u32, data: &mut [u8]) {
        read_config_bytes(&[], offset, data);
    }

    fn save(&self) {}

    fn restore(&mut self, (): ()) -> Result<(), RestoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtio::test_driver::Driver;

    struct Counting(u8);

    impl EntropySource for Counting {
        fn fill(&mut self, target: &mut [u8]) {
            for byte in target {
                self.0 = self.0.wrapping_add(1);
                *byte = self.0;
            }
        }
    }

    #[test]
    fn all_writable_buffers_are_filled() {
        let mut driver = Driver::new(Rng::new(Counting(0)), 0);
        assert_eq!(driver.get(0x008), 4);
        let buffers = driver.send(0, &[], &[3, 2]);
        driver.notify(0);
        assert_eq!(driver.used(0), Some((0, 5)));
        assert_eq!(driver.bytes(buffers[0], 3), [1, 2, 3]);
        assert_eq!(driver.bytes(buffers[1], 2), [4, 5]);
        assert!(driver.interrupted());
        driver.send(0, &[b"readable"], &[]);
        driver.notify(0);
        assert_eq!(driver.used(0), Some((2, 0)));
    }

    #[test]
    fn one_request_gets_64_kibibytes_at_most() {
        let mut driver = Driver::new(Rng::new(Counting(0)), 0);
        let buffer = driver.send(0, &[], &[100_000])[0];
        driver.notify(0);
        assert_eq!(driver.used(0), Some((0, 65_536)));
        assert_eq!(driver.bytes(buffer + 65_535, 2), [0x00, 0xEE]);
    }
}
