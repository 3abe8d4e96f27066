//! Virtio devices (Virtual I/O Device specification 1.2) over MMIO.
