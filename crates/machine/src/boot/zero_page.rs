//! `struct boot_params` (Documentation/x86/zero-page.rst, arch/x86/include/uapi/asm/bootparam.h).

/// Memory the kernel may use.
pub(super) const E820_RAM: u32 = 1;

const SIZE: usize = 4096;
const E820_ENTRIES: usize = 0x1E8;
const BOOT_FLAG: usize = 0x1FE;
const HEADER_MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const TYPE_OF_LOADER: usize = 0x210;
const LOADFLAGS: usize = 0x211;
const RAMDISK_IMAGE: usize = 0x218;
const RAMDISK_SIZE: usize = 0x21C;
const COMMAND_LINE_POINTER: usize = 0x228;
const E820_TABLE: usize = 0x2D0;
const E820_ENTRY_SIZE: usize = 20;

/// The boot parameters of a kernel loaded by "a loader without a number".
pub(super) struct ZeroPage([u8; SIZE]);

impl ZeroPage {
    pub(super) fn new() -> Self {
        let mut page = Self([0; SIZE]);
        page.put(BOOT_FLAG, &0xAA55u16.to_le_bytes());
        page.put(HEADER_MAGIC, b"HdrS");
        page.put(VERSION, &0x020Fu16.to_le_bytes());
        page.put(TYPE_OF_LOADER, &[0xFF]);
        let loaded_high = 1;
        page.put(LOADFLAGS, &[loaded_high]);
        page
    }

    pub(super) fn set_command_line(&mut self, address: u32) {
        self.put(COMMAND_LINE_POINTER, &address.to_le_bytes());
    }

    pub(super) fn set_initrd(&mut self, address: u32, size: u32) {
        self.put(RAMDISK_IMAGE, &address.to_le_bytes());
        self.put(RAMDISK_SIZE, &size.to_le_bytes());
    }

    /// Appends to the e820 memory map.
    pub(super) fn add_memory(&mut self, start: u64, size: u64, kind: u32) {
        let index = usize::from(self.0[E820_ENTRIES]);
        let at = E820_TABLE + index * E820_ENTRY_SIZE;
        self.put(at, &start.to_le_bytes());
        self.put(at + 8, &size.to_le_bytes());
        self.put(at + 16, &kind.to_le_bytes());
        self.0[E820_ENTRIES] += 1;
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
}
