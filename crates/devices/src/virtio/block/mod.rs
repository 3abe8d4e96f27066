//! The virtio block device (chapter 5.2).

mod protocol;
#[cfg(test)]
mod tests;

use thiserror::Error;

use super::{Chain, QueueError, Rings, VirtioDevice, read_config_bytes};
use crate::{GuestMemory, RestoreError};
use protocol::{Header, RangeRequest, feature, kind, status};

const REQUESTQ: usize = 0;
const QUEUE_SIZE: u16 = 128;

/// Data segments in a request: what Linux is told (SEG_MAX); with header and status they need an
/// indirect table when they are more than the queue has places.
const SEGMENTS_MAX: u32 = 254;

/// Unit of sector numbers and of the capacity, in bytes, whatever the block size (5.2.4).
pub const SECTOR_BYTES: u64 = 512;

/// Length of the identification string in bytes (GET_ID).
pub const ID_BYTES: usize = 20;

/// Most sectors in one write-zeroes request (16 MiB), as a backend may have to write them.
const WRITE_ZEROES_SECTORS: u32 = 32 << 10;
/// Most sectors in one discard request (2 GiB).
const DISCARD_SECTORS: u32 = 4 << 20;

/// A backend could not do what was asked. What was wrong is the backend's to report; the guest sees
/// an I/O error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Error)]
#[error("the block device's backend failed")]
pub struct BlockError;

/// The bytes of a disk. Offsets and lengths are in bytes, and within `size()`.
pub trait BlockBackend {
    /// Size in bytes; what exceeds whole sectors of 512 bytes is not visible. Must not change.
    fn size(&self) -> u64;

    /// Fills `target` from `offset` on.
    ///
    /// # Errors
    /// [`BlockError`]; `target` may have been filled in part.
    fn read_at(&mut self, offset: u64, target: &mut [u8]) -> Result<(), BlockError>;

    /// Writes `source` from `offset` on. Not called for a read-only device.
    ///
    /// # Errors
    /// [`BlockError`]; `source` may have been written in part.
    fn write_at(&mut self, offset: u64, source: &[u8]) -> Result<(), BlockError>;

    /// Returns when all that was written is stored for good.
    ///
    /// # Errors
    /// [`BlockError`]
    fn flush(&mut self) -> Result<(), BlockError>;

    /// Makes `length` bytes from `offset` on read as zeros; the default writes them.
    ///
    /// # Errors
    /// [`BlockError`]
    fn write_zeroes(&mut self, offset: u64, length: u64) -> Result<(), BlockError> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let end = offset + length;
        let mut at = offset;
        while at < end {
            let piece = (end - at).min(ZEROS.len() as u64);
            self.write_at(at, &ZEROS[..piece as usize])?;
            at += piece;
        }
        Ok(())
    }

    /// The guest needs these bytes no more; they may change. The default does nothing.
    ///
    /// # Errors
    /// [`BlockError`]
    fn discard(&mut self, _offset: u64, _length: u64) -> Result<(), BlockError> {
        Ok(())
    }
}

impl<B: BlockBackend + ?Sized> BlockBackend for Box<B> {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_at(&mut self, offset: u64, target: &mut [u8]) -> Result<(), BlockError> {
        (**self).read_at(offset, target)
    }

    fn write_at(&mut self, offset: u64, source: &[u8]) -> Result<(), BlockError> {
        (**self).write_at(offset, source)
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        (**self).flush()
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> Result<(), BlockError> {
        (**self).write_zeroes(offset, length)
    }

    fn discard(&mut self, offset: u64, length: u64) -> Result<(), BlockError> {
        (**self).discard(offset, length)
    }
}

/// How a disk presents itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockConfig {
    /// Writes are refused.
    pub read_only: bool,
    /// Block size that suits the backend, in bytes: a power of two, 512 to 4096. Requests may still
    /// be in sectors of 512.
    pub block_bytes: u32,
    /// Serial number, cut to [`ID_BYTES`]: Linux shows it in `/sys/block/vdX/serial`.
    pub id: String,
}

/// A disk. Requests are completed while the driver's notification is handled; data goes between
/// guest memory and backend without a copy in between.
#[derive(Debug)]
pub struct Block<B> {
    backend: B,
    config: BlockConfig,
}

impl<B: BlockBackend> Block<B> {
    /// A disk over `backend`.
    ///
    /// # Panics
    /// If the block size is not allowed.
    pub fn new(backend: B, config: BlockConfig) -> Self {
        let BlockConfig { block_bytes, .. } = config;
        assert!(block_bytes.is_power_of_two() && (512..=4096).contains(&block_bytes), "block size");
        Self { backend, config }
    }

    /// The bytes of the disk. They are not part of the device's state.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// The bytes of the disk, to exchange them; the size must stay.
    pub fn backend_mut(&mut self) -> &mut B {
        &mut self.backend
    }

    fn capacity_sectors(&self) -> u64 {
        self.backend.size() / SECTOR_BYTES
    }

    /// Byte offset of `bytes` bytes from `sector` on, if they are whole sectors of the disk.
    fn locate(&self, sector: u64, bytes: u64) -> Result<u64, u8> {
        let capacity = self.capacity_sectors();
        let whole = bytes.is_multiple_of(SECTOR_BYTES);
        if whole && sector <= capacity && bytes / SECTOR_BYTES <= capacity - sector {
            Ok(sector * SECTOR_BYTES)
        } else {
            Err(status::IO_ERROR)
        }
    }

    /// Does a request; returns the bytes written to the chain, status included.
    fn request(&mut self, chain: &Chain, memory: &mut GuestMemory<'_>) -> Result<u32, QueueError> {
        // Without room for the status there is nothing to be done (5.2.6.2).
        let Some(room) = chain.writable.length().checked_sub(1) else {
            return Ok(0);
        };
        let mut written = 0;
        let status = match self.execute(chain, room, memory, &mut written)? {
            Ok(()) => status::OK,
            Err(status) => status,
        };
        chain.writable.write(memory, room, &[status])?;
        // The used length counts from the start of the chain: if data is missing before the status,
        // only what is there for certain counts.
        Ok(if written == room { (written + 1) as u32 } else { written as u32 })
    }

    fn execute(
        &mut self,
        chain: &Chain,
        room: u64,
        memory: &mut GuestMemory<'_>,
        written: &mut u64,
    ) -> Result<Result<(), u8>, QueueError> {
        let mut header = [0; protocol::HEADER_BYTES];
        if chain.readable.read(memory, 0, &mut header)? != header.len() {
            return Ok(Err(status::IO_ERROR));
        }
        let Header { kind, sector } = Header::parse(header);
        match kind {
            kind::IN => self.read(chain, sector, room, memory, written),
            kind::OUT | kind::DISCARD | kind::WRITE_ZEROES if self.config.read_only => {
                Ok(Err(status::IO_ERROR))
            }
            kind::OUT => self.write(chain, sector, memory),
            kind::FLUSH => Ok(self.backend.flush().map_err(|BlockError| status::IO_ERROR)),
            kind::GET_ID => {
                let mut id = [0; ID_BYTES];
                for (target, byte) in id.iter_mut().zip(self.config.id.bytes()) {
                    *target = byte;
                }
                let length = room.min(ID_BYTES as u64) as usize;
                *written = chain.writable.write(memory, 0, &id[..length])? as u64;
                Ok(Ok(()))
            }
            kind::DISCARD | kind::WRITE_ZEROES => self.range_request(chain, kind, memory),
            _ => Ok(Err(status::UNSUPPORTED)),
        }
    }

    fn read(
        &mut self,
        chain: &Chain,
        sector: u64,
        room: u64,
        memory: &mut GuestMemory<'_>,
        written: &mut u64,
    ) -> Result<Result<(), u8>, QueueError> {
        let offset = match self.locate(sector, room) {
            Ok(offset) => offset,
            Err(status) => return Ok(Err(status)),
        };
        for piece in chain.writable.range(0, room) {
            let target = memory.slice_mut(piece.address, piece.length as usize)?;
            if self.backend.read_at(offset + *written, target).is_err() {
                return Ok(Err(status::IO_ERROR));
            }
            *written += u64::from(piece.length);
        }
        Ok(Ok(()))
    }

    fn write(
        &mut self,
        chain: &Chain,
        sector: u64,
        memory: &GuestMemory<'_>,
    ) -> Result<Result<(), u8>, QueueError> {
        let header = protocol::HEADER_BYTES as u64;
        let length = chain.readable.length() - header;
        let mut offset = match self.locate(sector, length) {
            Ok(offset) => offset,
            Err(status) => return Ok(Err(status)),
        };
        for piece in chain.readable.range(header, length) {
            let source = memory.slice(piece.address, piece.length as usize)?;
            if self.backend.write_at(offset, source).is_err() {
                return Ok(Err(status::IO_ERROR));
            }
            offset += u64::from(piece.length);
        }
        Ok(Ok(()))
    }

    /// DISCARD and WRITE_ZEROES: one range, as the configuration space allows no more.
    fn range_request(
        &mut self,
        chain: &Chain,
        kind: u32,
        memory: &GuestMemory<'_>,
    ) -> Result<Result<(), u8>, QueueError> {
        let header = protocol::HEADER_BYTES as u64;
        let mut bytes = [0; protocol::RANGE_BYTES];
        let length = chain.readable.length() - header;
        if length != bytes.len() as u64 {
            return Ok(Err(status::IO_ERROR));
        }
        chain.readable.read(memory, header, &mut bytes)?;
        Ok(self.apply_range(kind, &RangeRequest::parse(bytes)))
    }

    fn apply_range(&mut self, kind: u32, range: &RangeRequest) -> Result<(), u8> {
        let RangeRequest { sector, sectors, flags } = *range;
        let (limit, allowed_flags) = match kind {
            kind::DISCARD => (DISCARD_SECTORS, 0),
            _ => (WRITE_ZEROES_SECTORS, protocol::FLAG_UNMAP),
        };
        if flags & !allowed_flags != 0 {
            return Err(status::UNSUPPORTED);
        }
        if sectors > limit {
            return Err(status::IO_ERROR);
        }
        let length = u64::from(sectors) * SECTOR_BYTES;
        let offset = self.locate(sector, length)?;
        let result = match kind {
            kind::DISCARD => self.backend.discard(offset, length),
            _ => self.backend.write_zeroes(offset, length),
        };
        result.map_err(|BlockError| status::IO_ERROR)
    }
}

impl<B: BlockBackend> VirtioDevice for Block<B> {
    /// All state is in the queue and in the backend.
    type State = ();

    fn device_id(&self) -> u32 {
        2
    }

    fn features(&self) -> u64 {
        let common = feature::SEGMENTS_MAX | feature::BLOCK_SIZE | feature::FLUSH;
        common
            | if self.config.read_only {
                feature::READ_ONLY
            } else {
                feature::DISCARD | feature::WRITE_ZEROES
            }
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE]
    }

    fn activate(&mut self, _: u64) {}

    fn reset(&mut self) {}

    fn process(&mut self, _: usize, rings: &mut Rings<'_, '_>) -> Result<(), QueueError> {
        while let Some(chain) = rings.pop(REQUESTQ)? {
            let written = self.request(&chain, rings.memory)?;
            rings.push(REQUESTQ, chain, written)?;
        }
        rings.want_notification(REQUESTQ, true)
    }

    fn read_config(&self, offset: u32, data: &mut [u8]) {
        let config = protocol::Config {
            capacity_sectors: self.capacity_sectors(),
            segments_max: SEGMENTS_MAX,
            block_bytes: self.config.block_bytes,
            discard_sectors: DISCARD_SECTORS,
            write_zeroes_sectors: WRITE_ZEROES_SECTORS,
        };
        read_config_bytes(&config.bytes(), offset, data);
    }

    fn save(&self) {}

    fn restore(&mut self, (): ()) -> Result<(), RestoreError> {
        Ok(())
    }
}
