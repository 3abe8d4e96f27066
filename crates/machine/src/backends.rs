//! What the virtio devices are connected to on the host.

use wasm_sandbox_devices::virtio::block::{BlockBackend, BlockError};
use wasm_sandbox_devices::virtio::rng::EntropySource;

use crate::disk::DiskImage;
use crate::entropy::Entropy;

/// The root disk: read-only.
pub(crate) struct DiskBackend(DiskImage);

impl DiskBackend {
    pub(crate) fn new(disk: DiskImage) -> Self {
        Self(disk)
    }
}

impl BlockBackend for DiskBackend {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&mut self, offset: u64, target: &mut [u8]) -> Result<(), BlockError> {
        self.0.read_at(offset, target).map_err(|error| {
            tracing::error!(%error, "a read of the disk failed");
            BlockError
        })
    }

    fn write_at(&mut self, _: u64, _: &[u8]) -> Result<(), BlockError> {
        Err(BlockError)
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        Ok(())
    }
}

/// Randomness for virtio-rng.
pub(crate) struct EntropyBackend(Entropy);

impl EntropyBackend {
    pub(crate) fn new(entropy: Entropy) -> Self {
        Self(entropy)
    }
}

impl EntropySource for EntropyBackend {
    fn fill(&mut self, target: &mut [u8]) {
        self.0.fill(target);
    }
}
