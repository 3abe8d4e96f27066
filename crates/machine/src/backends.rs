//! What the virtio devices are connected to on the host.

use wasm_sandbox_devices::virtio::block::{BlockBackend, BlockError};
use wasm_sandbox_devices::virtio::rng::EntropySource;

use crate::disk::DiskImage;
use crate::entropy::HostEntropy;

/// The root disk: read-only.
pub(crate) struct DiskBackend(DiskImage);

impl DiskBackend {
    pub(crate) fn new(disk: DiskImage) -> Self {
        Self(disk)
    }
}

/// Host randomness for virtio-rng.
pub(crate) struct EntropyBackend(HostEntropy);

impl EntropyBackend {
    pub(crate) fn new() -> Self {
        Self(HostEntropy::new())
    }
}

impl EntropySource for EntropyBackend {
    fn fill(&mut self, target: &mut [u8]) {
        self.0.fill(target);
    }
}
