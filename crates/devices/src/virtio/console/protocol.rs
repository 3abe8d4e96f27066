//! Numbers of the console device (chapter 5.3).

/// VIRTIO_CONSOLE_F_MULTIPORT: ports beyond the first, and control queues.
pub(super) const F_MULTIPORT: u64 = 1 << 1;
/// VIRTIO_CONSOLE_F_EMERG_WRITE: a register that writes a character.
pub(super) const F_EMERGENCY_WRITE: u64 = 1 << 2;

/// Offset of `emerg_wr` in the configuration space, after cols, rows and max_nr_ports.
pub(super) const CONFIG_EMERGENCY_WRITE: u32 = 8;

pub(super) const CONTROL_RECEIVEQ: usize = 2;
pub(super) const CONTROL_TRANSMITQ: usize = 3;

/// struct virtio_console_control: id, event, value.
pub(super) const CONTROL_BYTES: usize = 8;

/// Control events (5.3.6.2).
pub(super) mod event {
    pub const DEVICE_READY: u16 = 0;
    pub const DEVICE_ADD: u16 = 1;
    pub const PORT_READY: u16 = 3;
    pub const CONSOLE_PORT: u16 = 4;
    pub const PORT_OPEN: u16 = 6;
    pub const PORT_NAME: u16 = 7;
}

/// The receive queue of a port; its transmit queue is the next (5.3.2).
pub(super) fn receiveq(port: usize) -> usize {
    if port == 0 { 0 } else { 2 + 2 * port }
}

/// What a queue is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Receive(usize),
    Transmit(usize),
    ControlReceive,
    ControlTransmit,
}

pub(super) fn role(queue: usize) -> Role {
    match queue {
        CONTROL_RECEIVEQ => Role::ControlReceive,
        CONTROL_TRANSMITQ => Role::ControlTransmit,
        0 => Role::Receive(0),
        1 => Role::Transmit(0),
        even if even & 1 == 0 => Role::Receive((even - 2) / 2),
        odd => Role::Transmit((odd - 3) / 2),
    }
}

/// A control message with what follows it.
pub(super) fn control(port: usize, event: u16, value: u16, tail: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(CONTROL_BYTES + tail.len());
    message.extend((port as u32).to_le_bytes());
    message.extend(event.to_le_bytes());
    message.extend(value.to_le_bytes());
    message.extend(tail);
    message
}
