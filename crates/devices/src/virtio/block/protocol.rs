//! Numbers and layouts of the block device (chapter 5.2).

use super::SECTOR_BYTES;

/// Feature bits (5.2.3).
pub(super) mod feature {
    pub const SEGMENTS_MAX: u64 = 1 << 2;
    pub const READ_ONLY: u64 = 1 << 5;
    pub const BLOCK_SIZE: u64 = 1 << 6;
    pub const FLUSH: u64 = 1 << 9;
    pub const DISCARD: u64 = 1 << 13;
    pub const WRITE_ZEROES: u64 = 1 << 14;
}

/// Request types (5.2.6).
pub(super) mod kind {
    pub const IN: u32 = 0;
    pub const OUT: u32 = 1;
    pub const FLUSH: u32 = 4;
    pub const GET_ID: u32 = 8;
    pub const DISCARD: u32 = 11;
    pub const WRITE_ZEROES: u32 = 13;
}

/// Status bytes (5.2.6).
pub(super) mod status {
    pub const OK: u8 = 0;
    pub const IO_ERROR: u8 = 1;
    pub const UNSUPPORTED: u8 = 2;
}

/// Flag of a range to be zeroed: its storage may be freed.
pub(super) const FLAG_UNMAP: u32 = 1;

pub(super) const HEADER_BYTES: usize = 16;
pub(super) const RANGE_BYTES: usize = 16;

/// Start of struct virtio_blk_req.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub kind: u32,
    pub sector: u64,
}

impl Header {
    pub(super) fn parse(bytes: [u8; HEADER_BYTES]) -> Self {
        let [k0, k1, k2, k3, _, _, _, _, sector @ ..] = bytes;
        Self { kind: u32::from_le_bytes([k0, k1, k2, k3]), sector: u64::from_le_bytes(sector) }
    }
}

/// struct virtio_blk_discard_write_zeroes.
#[derive(Clone, Copy, Debug)]
pub(super) struct RangeRequest {
    pub sector: u64,
    pub sectors: u32,
    pub flags: u32,
}

impl RangeRequest {
    pub(super) fn parse(bytes: [u8; RANGE_BYTES]) -> Self {
        let [s0, s1, s2, s3, s4, s5, s6, s7, n0, n1, n2, n3, flags @ ..] = bytes;
        Self {
            sector: u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
            sectors: u32::from_le_bytes([n0, n1, n2, n3]),
            flags: u32::from_le_bytes(flags),
        }
    }
}

/// What of struct virtio_blk_config is not zero (5.2.4).
pub(super) struct Config {
    pub capacity_sectors: u64,
    pub segments_max: u32,
    pub block_bytes: u32,
    pub discard_sectors: u32,
    pub write_zeroes_sectors: u32,
}

impl Config {
    pub(super) fn bytes(&self) -> [u8; 60] {
        let mut bytes = [0; 60];
        bytes[..8].copy_from_slice(&self.capacity_sectors.to_le_bytes());
        let alignment = self.block_bytes / SECTOR_BYTES as u32;
        for (offset, value) in [
            (12, self.segments_max),
            (20, self.block_bytes),
            (36, self.discard_sectors),
            // One range a request.
            (40, 1),
            (44, alignment),
            (48, self.write_zeroes_sectors),
            (52, 1),
            // write_zeroes_may_unmap
            (56, 1),
        ] {
            bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }
}
