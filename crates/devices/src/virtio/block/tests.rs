//! Sends requests as Linux' drivers/block/virtio_blk.c does.

use proptest::prelude::*;

use super::*;
use crate::testing::any_accesses;
use crate::virtio::test_driver::Driver;

/// A disk in memory that can be told to fail.
#[derive(Debug)]
struct Memory {
    bytes: Vec<u8>,
    log: Vec<&'static str>,
    fails: bool,
}

impl Memory {
    fn range(&self, offset: u64, length: usize) -> Result<std::ops::Range<usize>, BlockError> {
        assert!(offset + length as u64 <= self.size(), "the device checks bounds");
        if self.fails { Err(BlockError) } else { Ok(offset as usize..offset as usize + length) }
    }
}

impl BlockBackend for Memory {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&mut self, offset: u64, target: &mut [u8]) -> Result<(), BlockError> {
        let range = self.range(offset, target.len())?;
        target.copy_from_slice(&self.bytes[range]);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, source: &[u8]) -> Result<(), BlockError> {
        let range = self.range(offset, source.len())?;
        self.bytes[range].copy_from_slice(source);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        self.log.push("flush");
        self.range(0, 0).map(|_| ())
    }

    fn discard(&mut self, offset: u64, length: u64) -> Result<(), BlockError> {
        self.log.push("discard");
        self.range(offset, length as usize).map(|_| ())
    }
}

const SECTORS: usize = 64;

fn disk(read_only: bool) -> Driver<Block<Memory>> {
    let bytes = (0..SECTORS * 512 + 100).map(|at| (at / 512) as u8).collect();
    let config = BlockConfig { read_only, block_bytes: 4096, id: "root".into() };
    Driver::new(Block::new(Memory { bytes, log: vec![], fails: false }, config), 0)
}

fn header(kind: u32, sector: u64) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat()
}

fn range(sector: u64, sectors: u32, flags: u32) -> Vec<u8> {
    [&sector.to_le_bytes()[..], &sectors.to_le_bytes(), &flags.to_le_bytes()].concat()
}

/// Sends a request; returns used length, status and the data read.
fn request(disk: &mut Driver<Block<Memory>>, readable: &[&[u8]], room: &[usize]) -> (u32, u8, Vec<u8>) {
    let writable = [room, &[1]].concat();
    let buffers = disk.send(0, readable, &writable);
    disk.notify(0);
    let (_, used) = disk.used(0).expect("the request is completed at once");
    assert!(disk.interrupted());
    let data = std::iter::zip(&buffers, room).flat_map(|(at, length)| disk.bytes(*at, *length).to_vec());
    let data = data.collect();
    (used, disk.bytes(*buffers.last().unwrap(), 1)[0], data)
}

#[test]
fn the_configuration_describes_the_disk() {
    let mut disk = disk(false);
    assert_eq!(disk.get(0x008), 2);
    assert_eq!(disk.get(0x010), 1 << 2 | 1 << 6 | 1 << 9 | 1 << 13 | 1 << 14 | 3 << 28);
    assert_eq!((disk.get(0x100), disk.get(0x104)), (64, 0), "the 100 bytes are no sector");
    assert_eq!(disk.get(0x10C), 254);
    assert_eq!(disk.get(0x114), 4096);
    assert_eq!(disk.bus.read8(0x138), 1);
    let mut read_only = self::disk(true);
    assert_eq!(read_only.get(0x010), 1 << 2 | 1 << 5 | 1 << 6 | 1 << 9 | 3 << 28);
}

#[test]
fn sectors_are_read_into_several_segments() {
    let mut disk = disk(true);
    let (used, status, data) = request(&mut disk, &[&header(0, 3)], &[512, 100, 412]);
    assert_eq!((used, status), (1025, 0));
    assert_eq!(data, [[3; 512], [4; 512]].concat());
}

#[test]
fn a_header_in_pieces_and_data_behind_it_are_fine() {
    let mut disk = disk(false);
    let header = header(1, 63);
    let tail = [&header[10..], &[0xAB; 12]].concat();
    let (used, status, _) = request(&mut disk, &[&header[..10], &tail, &[0xCD; 500]], &[]);
    assert_eq!((used, status), (1, 0));
    let bytes = &disk.device().backend().bytes[63 * 512..64 * 512];
    assert_eq!(bytes, [&[0xAB; 12][..], &[0xCD; 500]].concat());
}

#[test]
fn requests_outside_the_disk_or_of_half_sectors_fail() {
    let mut disk = disk(false);
    let before = disk.device().backend().bytes.clone();
    for (sector, length) in [(63, 1024), (64, 512), (u64::MAX, 512), (0, 511), (1 << 55, 512)] {
        let (_, status, data) = request(&mut disk, &[&header(0, sector)], &[length]);
        assert_eq!((status, data), (1, vec![0xEE; length]));
        let (_, status, _) = request(&mut disk, &[&header(1, sector), &vec![9; length]], &[]);
        assert_eq!(status, 1);
    }
    assert_eq!(disk.device().backend().bytes, before);
    let (_, status, _) = request(&mut disk, &[&header(0, 64)], &[]);
    assert_eq!(status, 0, "nothing at the end");
}

#[test]
fn a_read_only_disk_is_not_written() {
    let mut disk = disk(true);
    let before = disk.device().backend().bytes.clone();
    assert_eq!(request(&mut disk, &[&header(1, 0), &[9; 512]], &[]).1, 1);
    assert_eq!(request(&mut disk, &[&header(11, 0), &range(0, 8, 0)], &[]).1, 1);
    assert_eq!(request(&mut disk, &[&header(13, 0), &range(0, 8, 0)], &[]).1, 1);
    assert_eq!(disk.device().backend().bytes, before);
}

#[test]
fn flush_and_identification() {
    let mut disk = disk(false);
    assert_eq!(request(&mut disk, &[&header(4, 0)], &[]), (1, 0, vec![]));
    assert_eq!(disk.device().backend().log, ["flush"]);
    let (used, status, id) = request(&mut disk, &[&header(8, 0)], &[20]);
    assert_eq!((used, status), (21, 0));
    assert_eq!(id, b"root\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(request(&mut disk, &[&header(8, 0)], &[2]).2, b"ro");
}

#[test]
fn discard_and_write_zeroes() {
    let mut disk = disk(false);
    assert_eq!(request(&mut disk, &[&header(13, 0), &range(1, 20, 1)], &[]).1, 0);
    let bytes = &disk.device().backend().bytes;
    assert!(bytes[512..21 * 512].iter().all(|byte| *byte == 0));
    assert_eq!(bytes[21 * 512], 21);
    assert_eq!(request(&mut disk, &[&header(11, 0), &range(8, 8, 0)], &[]).1, 0);
    assert_eq!(disk.device().backend().log, ["discard"]);
    assert_eq!(request(&mut disk, &[&header(11, 0), &range(8, 8, 1)], &[]).1, 2);
    assert_eq!(request(&mut disk, &[&header(13, 0), &range(8, 8, 2)], &[]).1, 2);
    assert_eq!(request(&mut disk, &[&header(13, 0), &range(60, 5, 0)], &[]).1, 1);
    assert_eq!(request(&mut disk, &[&header(13, 0), &range(0, u32::MAX, 0)], &[]).1, 1);
    assert_eq!(request(&mut disk, &[&header(11, 0), &range(0, 1, 0)[..15]], &[]).1, 1);
}

#[test]
fn failures_of_the_backend_are_io_errors() {
    let mut disk = disk(false);
    disk.device().backend_mut().fails = true;
    assert_eq!(request(&mut disk, &[&header(0, 0)], &[512]).1, 1);
    assert_eq!(request(&mut disk, &[&header(1, 0), &[9; 512]], &[]).1, 1);
    assert_eq!(request(&mut disk, &[&header(4, 0)], &[]).1, 1);
    assert_eq!(request(&mut disk, &[&header(13, 0), &range(0, 1, 0)], &[]).1, 1);
    assert!(!disk.broken());
}

#[test]
fn unknown_and_mangled_requests_are_answered() {
    let mut disk = disk(false);
    assert_eq!(request(&mut disk, &[&header(99, 0)], &[]).1, 2);
    assert_eq!(request(&mut disk, &[b"short"], &[]).1, 1);
    disk.send(0, &[&header(0, 0)], &[]);
    disk.notify(0);
    assert!(matches!(disk.used(0), Some((_, 0))), "no room for a status");
    assert!(!disk.broken());
}

proptest! {
    #[test]
    fn any_request_is_survived(
        kind in 0u32..16, sector in prop_oneof![0u64..70, any::<u64>()], data in 0usize..1100,
        room in prop::collection::vec(1usize..1100, 0..3), cut in 0usize..17, read_only: bool,
    ) {
        let mut disk = disk(read_only);
        let header = header(kind, sector);
        let (used, status, _) = request(&mut disk, &[&header[..cut.min(16)], &vec![1; data]], &room);
        prop_assert!(status <= 2);
        prop_assert!(used as usize <= room.iter().sum::<usize>() + 1);
        prop_assert!(!disk.broken());
    }

    #[test]
    fn a_restored_disk_goes_on_as_the_saved_one(sector in 0u64..64, after in any_accesses(0x110)) {
        let mut first = disk(false);
        first.send(0, &[&header(1, sector), &[1; 512]], &[1]);
        let mut second = disk(false);
        second.bus.chip.restore(first.bus.chip.save()).unwrap();
        second.bus.ram = first.bus.ram.clone();
        for driver in [&mut first, &mut second] {
            driver.notify(0);
        }
        prop_assert_eq!(first.device().backend().bytes[sector as usize * 512], 1);
        prop_assert_eq!(first.bus.run(&after), second.bus.run(&after));
        prop_assert_eq!(first.bus.chip.save(), second.bus.chip.save());
        prop_assert_eq!(first.bus.ram, second.bus.ram);
    }
}
