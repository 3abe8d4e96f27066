//! The virtio-mmio transport, version 2 (chapter 4.2).

use serde::{Deserialize, Serialize};

use super::queue::{Queue, QueueError, QueueState};
use super::{Rings, VirtioDevice, features};
use crate::error::check;
use crate::{Context, Device, GuestMemory, RestoreError, VmTime};

#[cfg(test)]
mod tests;

/// Size of the register window in bytes, configuration space included.
pub const WINDOW_BYTES: u32 = 0x200;

/// Registers (4.2.2).
mod register {
    pub const MAGIC: u32 = 0x000;
    pub const VERSION: u32 = 0x004;
    pub const DEVICE_ID: u32 = 0x008;
    pub const VENDOR_ID: u32 = 0x00C;
    pub const DEVICE_FEATURES: u32 = 0x010;
    pub const DEVICE_FEATURES_SELECT: u32 = 0x014;
    pub const DRIVER_FEATURES: u32 = 0x020;
    pub const DRIVER_FEATURES_SELECT: u32 = 0x024;
    pub const QUEUE_SELECT: u32 = 0x030;
    pub const QUEUE_SIZE_MAX: u32 = 0x034;
    pub const QUEUE_SIZE: u32 = 0x038;
    pub const QUEUE_READY: u32 = 0x044;
    pub const QUEUE_NOTIFY: u32 = 0x050;
    pub const INTERRUPT_STATUS: u32 = 0x060;
    pub const INTERRUPT_ACKNOWLEDGE: u32 = 0x064;
    pub const STATUS: u32 = 0x070;
    pub const QUEUE_DESCRIPTORS: u32 = 0x080;
    pub const QUEUE_AVAILABLE: u32 = 0x090;
    pub const QUEUE_USED: u32 = 0x0A0;
    pub const SHARED_MEMORY_LENGTH: u32 = 0x0B0;
    pub const SHARED_MEMORY_BASE_HIGH: u32 = 0x0BC;
    pub const CONFIG: u32 = 0x100;
}

/// Device status (2.1).
mod status {
    pub const FEATURES_OK: u32 = 8;
    pub const DRIVER_OK: u32 = 4;
    pub const NEEDS_RESET: u32 = 64;
    pub const FAILED: u32 = 128;
    /// Bits a driver can set: acknowledge, driver and those above.
    pub const OF_DRIVER: u32 = 0x8F;
}

/// Interrupt status.
mod interrupt {
    pub const USED_BUFFER: u32 = 1;
    pub const CONFIGURATION: u32 = 2;
    pub const ALL: u32 = 3;
}

/// "virt".
const MAGIC: u32 = 0x7472_6976;

/// Any value; Linux shows it in sysfs. "wasm".
const VENDOR: u32 = 0x6D73_6177;

/// A virtio device behind MMIO registers. Its window has [`WINDOW_BYTES`].
///
/// The interrupt output is high while the driver has events to acknowledge. A driver that breaks a
/// queue gets DEVICE_NEEDS_RESET and a configuration interrupt; nothing is processed until it
/// resets the device.
#[derive(Debug)]
pub struct VirtioMmio<D> {
    device: D,
    queues: Vec<Queue>,
    status: u32,
    device_features_select: u32,
    driver_features_select: u32,
    driver_features: u64,
    queue_select: u32,
    interrupt_status: u32,
    failure: Option<QueueError>,
}

/// Saved state of a [`VirtioMmio`] around a device whose state is `D`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MmioState<D> {
    /// The device itself.
    pub device: D,
    /// Its queues, as many as the device has.
    pub queues: Vec<QueueState>,
    /// Status register.
    pub status: u32,
    /// DeviceFeaturesSel register.
    pub device_features_select: u32,
    /// DriverFeaturesSel register.
    pub driver_features_select: u32,
    /// Features the driver has written.
    pub driver_features: u64,
    /// QueueSel register.
    pub queue_select: u32,
    /// InterruptStatus register.
    pub interrupt_status: u32,
}

impl<D: VirtioDevice> VirtioMmio<D> {
    /// Puts `device` behind registers, in reset.
    pub fn new(device: D) -> Self {
        let queues = device.queue_sizes().into_iter().map(Queue::new).collect();
        Self {
            device,
            queues,
            status: 0,
            device_features_select: 0,
            driver_features_select: 0,
            driver_features: 0,
            queue_select: 0,
            interrupt_status: 0,
            failure: None,
        }
    }

    /// The device behind the registers.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// The device, to give it input or take its output. If it has work then,
    /// [`Device::deadline`] says so.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// How the driver broke the device, if it did since the last reset (or restore).
    pub fn failure(&self) -> Option<QueueError> {
        self.failure
    }

    /// The state to be put into a snapshot.
    pub fn save(&self) -> MmioState<D::State> {
        let Self {
            device,
            queues,
            status,
            device_features_select,
            driver_features_select,
            driver_features,
            queue_select,
            interrupt_status,
            failure: _,
        } = self;
        MmioState {
            device: device.save(),
            queues: queues.iter().map(Queue::save).collect(),
            status: *status,
            device_features_select: *device_features_select,
            driver_features_select: *driver_features_select,
            driver_features: *driver_features,
            queue_select: *queue_select,
            interrupt_status: *interrupt_status,
        }
    }

    /// Takes back a saved state.
    ///
    /// # Errors
    /// The state is not one of this device; nothing has changed then.
    pub fn restore(&mut self, state: MmioState<D::State>) -> Result<(), RestoreError> {
        let MmioState {
            device,
            queues,
            status,
            device_features_select,
            driver_features_select,
            driver_features,
            queue_select,
            interrupt_status,
        } = state;
        if queues.len() != self.queues.len() {
            return Err(RestoreError::Count {
                chip: "virtio-mmio",
                field: "queues",
                found: queues.len(),
                expected: self.queues.len(),
            });
        }
        check(status & !(status::OF_DRIVER | status::NEEDS_RESET) == 0, "virtio-mmio", "status")?;
        check(interrupt_status & !interrupt::ALL == 0, "virtio-mmio", "interrupt_status")?;
        let accepted = status & status::FEATURES_OK == 0 || self.acceptable(driver_features);
        check(accepted, "virtio-mmio", "driver_features")?;
        let queues = std::iter::zip(&self.queues, queues)
            .map(|(queue, state)| Queue::restored(queue.max_size(), state))
            .collect::<Result<_, _>>()?;
        self.device.restore(device)?;
        self.queues = queues;
        self.status = status;
        self.device_features_select = device_features_select;
        self.driver_features_select = driver_features_select;
        self.driver_features = driver_features;
        self.queue_select = queue_select;
        self.interrupt_status = interrupt_status;
        self.failure = None;
        Ok(())
    }

    fn features(&self) -> u64 {
        self.device.features() | features::VERSION_1 | features::EVENT_INDEX | features::INDIRECT_DESCRIPTORS
    }

    fn acceptable(&self, features: u64) -> bool {
        features & !self.features() == 0 && features & features::VERSION_1 != 0
    }

    fn active(&self) -> bool {
        self.status & (status::DRIVER_OK | status::NEEDS_RESET | status::FAILED) == status::DRIVER_OK
    }

    fn selected(&mut self) -> Option<&mut Queue> {
        self.queues.get_mut(self.queue_select as usize)
    }

    /// Lets the device work on its queues, then sees to interrupts.
    fn work(
        &mut self,
        memory: &mut GuestMemory<'_>,
        action: impl FnOnce(&mut D, &mut Rings<'_, '_>) -> Result<(), QueueError>,
    ) {
        if !self.active() {
            return;
        }
        let mut result = action(&mut self.device, &mut Rings::new(&mut self.queues, memory));
        for queue in &mut self.queues {
            match queue.interrupt_due(memory) {
                Ok(true) => self.interrupt_status |= interrupt::USED_BUFFER,
                Ok(false) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        if let Err(error) = result {
            self.failure = Some(error);
            self.status |= status::NEEDS_RESET;
            self.interrupt_status |= interrupt::CONFIGURATION;
        }
    }

    fn read_register(&mut self, offset: u32) -> u32 {
        match offset {
            register::MAGIC => MAGIC,
            register::VERSION => 2,
            register::DEVICE_ID => self.device.device_id(),
            register::VENDOR_ID => VENDOR,
            register::DEVICE_FEATURES => match self.device_features_select {
                0 => self.features() as u32,
                1 => (self.features() >> 32) as u32,
                _ => 0,
            },
            register::QUEUE_SIZE_MAX => self.selected().map_or(0, |queue| u32::from(queue.max_size())),
            register::QUEUE_READY => self.selected().map_or(0, |queue| u32::from(queue.ready)),
            register::INTERRUPT_STATUS => self.interrupt_status,
            register::STATUS => self.status,
            // No region exists: length and base are -1.
            register::SHARED_MEMORY_LENGTH..=register::SHARED_MEMORY_BASE_HIGH => u32::MAX,
            // ConfigGeneration, which never changes, QueueReset, and what cannot be read.
            _ => 0,
        }
    }

    fn write_register(&mut self, offset: u32, value: u32, memory: &mut GuestMemory<'_>) {
        match offset {
            register::DEVICE_FEATURES_SELECT => self.device_features_select = value,
            register::DRIVER_FEATURES => self.write_driver_features(value),
            register::DRIVER_FEATURES_SELECT => self.driver_features_select = value,
            register::QUEUE_SELECT => self.queue_select = value,
            register::QUEUE_NOTIFY => {
                let queue = value as usize;
                if queue < self.queues.len() {
                    self.work(memory, |device, rings| device.process(queue, rings));
                }
            }
            register::INTERRUPT_ACKNOWLEDGE => self.interrupt_status &= !value,
            register::STATUS => self.write_status(value, memory),
            _ => self.write_queue_register(offset, value),
        }
    }

    fn write_driver_features(&mut self, value: u32) {
        if self.status & status::FEATURES_OK != 0 {
            return;
        }
        let shift = match self.driver_features_select {
            0 => 0,
            1 => 32,
            _ => return,
        };
        self.driver_features &= !(u64::from(u32::MAX) << shift);
        self.driver_features |= u64::from(value) << shift;
    }

    fn write_status(&mut self, value: u32, memory: &mut GuestMemory<'_>) {
        if value == 0 {
            self.reset();
            return;
        }
        // A driver never takes bits back but by a reset (2.1.1).
        let mut set = value & status::OF_DRIVER & !self.status;
        if set & status::FEATURES_OK != 0 && !self.acceptable(self.driver_features) {
            set &= !status::FEATURES_OK;
        }
        if (self.status | set) & status::FEATURES_OK == 0 {
            set &= !status::DRIVER_OK;
        }
        self.status |= set;
        if set & status::DRIVER_OK != 0 {
            let event_index = self.driver_features & features::EVENT_INDEX != 0;
            for queue in &mut self.queues {
                queue.event_index = event_index;
            }
            self.device.activate(self.driver_features);
            self.work(memory, |device, rings| device.advance(rings));
        }
    }

    fn write_queue_register(&mut self, offset: u32, value: u32) {
        let Some(queue) = self.selected() else {
            return;
        };
        if offset == register::QUEUE_READY {
            if value & 1 == 0 {
                // What the device has taken and given is forgotten with the rings.
                queue.reset();
            } else {
                queue.ready = queue.check_size().is_ok();
            }
            return;
        }
        if queue.ready {
            return;
        }
        // A 64-bit address is two registers, the upper half second.
        let address = match offset & !4 {
            register::QUEUE_DESCRIPTORS => &mut queue.descriptors,
            register::QUEUE_AVAILABLE => &mut queue.available,
            register::QUEUE_USED => &mut queue.used,
            _ => {
                if offset == register::QUEUE_SIZE {
                    // Too large is as wrong as zero.
                    queue.size = u16::try_from(value).unwrap_or(0);
                }
                return;
            }
        };
        *address = if offset & 4 == 0 {
            *address & !u64::from(u32::MAX) | u64::from(value)
        } else {
            *address & u64::from(u32::MAX) | u64::from(value) << 32
        };
    }
}

impl<D: VirtioDevice> Device for VirtioMmio<D> {
    fn read(&mut self, offset: u32, data: &mut [u8], _: &mut Context<'_>) {
        if let Some(offset) = offset.checked_sub(register::CONFIG) {
            self.device.read_config(offset, data);
            return;
        }
        // Reading has no side effects, so a register can also be read in parts, as CPUs may do that
        // split their accesses.
        for (at, byte) in (offset..).zip(data) {
            *byte = self.read_register(at & !3).to_le_bytes()[(at & 3) as usize];
        }
    }

    fn write(&mut self, offset: u32, data: &[u8], context: &mut Context<'_>) {
        if let Some(offset) = offset.checked_sub(register::CONFIG) {
            self.device.write_config(offset, data);
            return;
        }
        // Drivers must write registers whole (4.2.2.2); parts are dropped.
        if offset & 3 == 0 {
            for (at, word) in (offset..).step_by(4).zip(data.chunks_exact(4)) {
                let value = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
                self.write_register(at, value, &mut context.memory);
            }
        }
    }

    fn advance(&mut self, context: &mut Context<'_>) {
        if self.device.has_work() {
            self.work(&mut context.memory, |device, rings| device.advance(rings));
        }
    }

    fn deadline(&self) -> Option<VmTime> {
        (self.active() && self.device.has_work()).then_some(VmTime::ZERO)
    }

    fn interrupt(&self) -> bool {
        self.interrupt_status != 0
    }

    fn reset(&mut self) {
        self.device.reset();
        for queue in &mut self.queues {
            queue.reset();
        }
        self.status = 0;
        self.device_features_select = 0;
        self.driver_features_select = 0;
        self.driver_features = 0;
        self.queue_select = 0;
        self.interrupt_status = 0;
        self.failure = None;
    }
}
