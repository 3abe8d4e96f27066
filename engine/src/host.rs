//! What the CPU asks of the machine around it: time, randomness, ports, devices in memory, interrupts.
//!
//! In WebAssembly these are imports of the module `host`; natively a test gives a [`Host`] to its
//! thread.

/// The host's side of the interface.
pub trait Host {
    /// Machine time in nanoseconds; the time-stamp counter counts these.
    fn now(&mut self) -> u64;
    /// 64 random bits.
    fn random(&mut self) -> u64;
    /// IN of 1, 2 or 4 bytes.
    fn port_read(&mut self, port: u32, bytes: u32) -> u32;
    /// OUT of 1, 2 or 4 bytes.
    fn port_write(&mut self, port: u32, bytes: u32, value: u32);
    /// A load of 1, 2, 4 or 8 bytes from outside RAM.
    fn mmio_read(&mut self, address: u64, bytes: u32) -> u64;
    /// A store of 1, 2, 4 or 8 bytes outside RAM.
    fn mmio_write(&mut self, address: u64, bytes: u32, value: u64);
    /// The interrupt controller's acknowledge cycle: the vector to be served.
    fn acknowledge_interrupt(&mut self) -> u32;
}

#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "imports are foreign functions; the host checks their arguments")]
mod imports {
    mod raw {
        #[link(wasm_import_module = "host")]
        unsafe extern "C" {
            pub safe fn now() -> u64;
            pub safe fn random() -> u64;
            pub safe fn port_read(port: u32, bytes: u32) -> u32;
            pub safe fn port_write(port: u32, bytes: u32, value: u32);
            pub safe fn mmio_read(address: u64, bytes: u32) -> u64;
            pub safe fn mmio_write(address: u64, bytes: u32, value: u64);
            pub safe fn acknowledge_interrupt() -> u32;
            pub safe fn log(at: u32, length: u32);
            pub safe fn translated(part: u32, at: u32, length: u32, unlikely: u32, count: u32);
        }
    }
    pub(crate) use raw::{acknowledge_interrupt, mmio_read, mmio_write, now, port_read, port_write, random};

    /// The body of the next function of a part of translated code, and where in it are branches that are hardly ever taken.
    pub(crate) fn translated(part: u32, body: &[u8], unlikely: &[u32]) {
        let (places, count) = (unlikely.as_ptr() as u32, unlikely.len() as u32);
        raw::translated(part, body.as_ptr() as u32, body.len() as u32, places, count);
    }

    /// A line for the host's log.
    pub(crate) fn log(message: &str) {
        raw::log(message.as_ptr() as u32, message.len() as u32);
    }
}

#[cfg(target_arch = "wasm32")]
pub(crate) use imports::*;

/// Zeroed memory that is never given back and costs nothing before it is touched.
#[cfg(target_arch = "wasm32")]
pub(crate) fn allocate_zeroed(bytes: usize) -> Option<*mut u8> {
    const WASM_PAGE: usize = 64 << 10;
    let before = core::arch::wasm32::memory_grow(0, bytes.div_ceil(WASM_PAGE));
    (before != usize::MAX).then(|| before.wrapping_mul(WASM_PAGE) as *mut u8)
}

/// Zeroed memory that is never given back and costs nothing before it is touched.
#[cfg(not(target_arch = "wasm32"))]
#[allow(unsafe_code, reason = "the global allocator's interface")]
pub(crate) fn allocate_zeroed(bytes: usize) -> Option<*mut u8> {
    let layout = std::alloc::Layout::from_size_align(bytes.max(1), 4096).ok()?;
    // SAFETY: the size is not zero.
    let at = unsafe { std::alloc::alloc_zeroed(layout) };
    (!at.is_null()).then_some(at)
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use super::Host;
    use std::cell::RefCell;

    thread_local! {
        static HOST: RefCell<Option<Box<dyn Host>>> = const { RefCell::new(None) };
    }

    /// Gives this thread's CPUs a host.
    pub fn set_host(host: Box<dyn Host>) {
        HOST.with(|slot| *slot.borrow_mut() = Some(host));
    }

    /// Asks this thread's host; without one, everything is zero.
    fn with<R: Default>(ask: impl FnOnce(&mut dyn Host) -> R) -> R {
        HOST.with(|slot| slot.borrow_mut().as_mut().map(|host| ask(host.as_mut())).unwrap_or_default())
    }

    pub(crate) fn now() -> u64 {
        with(|host| host.now())
    }
    pub(crate) fn random() -> u64 {
        with(|host| host.random())
    }
    pub(crate) fn port_read(port: u32, bytes: u32) -> u32 {
        with(|host| host.port_read(port, bytes))
    }
    pub(crate) fn port_write(port: u32, bytes: u32, value: u32) {
        with(|host| host.port_write(port, bytes, value));
    }
    pub(crate) fn mmio_read(address: u64, bytes: u32) -> u64 {
        with(|host| host.mmio_read(address, bytes))
    }
    pub(crate) fn mmio_write(address: u64, bytes: u32, value: u64) {
        with(|host| host.mmio_write(address, bytes, value));
    }
    pub(crate) fn acknowledge_interrupt() -> u32 {
        with(|host| host.acknowledge_interrupt())
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub use native::set_host;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::{acknowledge_interrupt, mmio_read, mmio_write, now, port_read, port_write, random};
