//! The virtio console device (chapter 5.3): named byte streams between host and guest.
//!
//! The host's end of every port is always open. What the guest sends is taken at once, for Linux'
//! driver spins until it is; the board drains it with [`Console::take_output`] after each slice.

mod protocol;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{QueueError, Rings, VirtioDevice, read_config_bytes};
use crate::RestoreError;
use crate::error::check;
use protocol::{Role, event};

/// Places in each queue; Linux fills receive queues with as many pages.
const QUEUE_SIZE: u16 = 64;

/// Longest transmit buffer, in bytes. Linux sends 32 KiB at most (64 KiB when splicing); the limit
/// is there so that a guest cannot make the host copy its RAM over and over.
const TRANSMIT_LIMIT: u64 = 1 << 20;

/// What a port is called and for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// Linux links `/dev/virtio-ports/<name>` to it; empty for none.
    pub name: String,
    /// The port is a terminal: `/dev/hvc0` and on, rather than a plain stream.
    pub console: bool,
}

/// A console device with a fixed set of ports.
#[derive(Debug)]
pub struct Console {
    ports: Vec<Port>,
    /// The driver knows of ports; otherwise there is only port 0.
    multiport: bool,
    /// The ports have been announced.
    announced: bool,
    /// Control messages for the driver, oldest first.
    control: VecDeque<Vec<u8>>,
    /// Input has arrived since the last `advance`.
    work: bool,
}

#[derive(Debug)]
struct Port {
    config: PortConfig,
    /// The driver has set the port up.
    ready: bool,
    guest_open: bool,
    input: VecDeque<u8>,
    output: Vec<u8>,
}

/// Saved state of a [`Console`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleState {
    /// The ports in order.
    pub ports: Vec<PortState>,
    /// The driver negotiated several ports.
    pub multiport: bool,
    /// The ports have been announced to it.
    pub announced: bool,
    /// Control messages not delivered yet, oldest first.
    pub control: Vec<Vec<u8>>,
    /// There is input to be tried to deliver.
    pub work: bool,
}

/// Saved state of one port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortState {
    /// The driver has set the port up.
    pub ready: bool,
    /// A program in the guest has it open.
    pub guest_open: bool,
    /// Bytes from the host that the guest has not taken.
    pub input: Vec<u8>,
    /// Bytes from the guest that the board has not taken.
    pub output: Vec<u8>,
}

impl Console {
    /// A device with these ports, at least one. Port 0 is also there for drivers that know of one
    /// port only.
    ///
    /// # Panics
    /// Without ports.
    pub fn new(ports: Vec<PortConfig>) -> Self {
        assert!(!ports.is_empty(), "a console device has a port 0");
        let ports = ports
            .into_iter()
            .map(|config| Port {
                config,
                ready: false,
                guest_open: false,
                input: VecDeque::new(),
                output: Vec::new(),
            })
            .collect();
        Self { ports, multiport: false, announced: false, control: VecDeque::new(), work: false }
    }

    /// Queues bytes for the guest. They are delivered when a program has opened the port and as the
    /// driver has buffers; until then they wait, without a bound.
    ///
    /// # Panics
    /// This and all methods with a `port`: if there is no such port.
    pub fn push_input(&mut self, port: usize, bytes: &[u8]) {
        self.ports[port].input.extend(bytes);
        self.work = true;
    }

    /// How many bytes from [`Console::push_input`] the driver has not taken.
    pub fn pending_input(&self, port: usize) -> usize {
        self.ports[port].input.len()
    }

    /// Drops the input that has not been delivered, as when the program it was for is gone.
    pub fn clear_input(&mut self, port: usize) {
        self.ports[port].input.clear();
    }

    /// Takes all bytes the guest has sent to the port since the last call.
    pub fn take_output(&mut self, port: usize) -> Vec<u8> {
        std::mem::take(&mut self.ports[port].output)
    }

    /// How many bytes [`Console::take_output`] would give.
    pub fn pending_output(&self, port: usize) -> usize {
        self.ports[port].output.len()
    }

    /// Whether a program in the guest has the port open. Consoles are open once the driver has
    /// found them.
    pub fn guest_open(&self, port: usize) -> bool {
        self.ports[port].guest_open
    }

    fn deliver_input(&mut self, port: usize, rings: &mut Rings<'_, '_>) -> Result<(), QueueError> {
        let queue = protocol::receiveq(port);
        let Port { guest_open, input, .. } = &mut self.ports[port];
        while *guest_open && !input.is_empty() {
            let Some(chain) = rings.pop(queue)? else {
                return rings.want_notification(queue, true);
            };
            let (first, second) = input.as_slices();
            let mut written = chain.writable.write(rings.memory, 0, first)?;
            written += chain.writable.write(rings.memory, written as u64, second)?;
            input.drain(..written);
            rings.push(queue, chain, written as u32)?;
        }
        // New buffers are of no interest until there is something to put into them.
        rings.want_notification(queue, false)
    }

    fn deliver_control(&mut self, rings: &mut Rings<'_, '_>) -> Result<(), QueueError> {
        while let Some(message) = self.control.front() {
            let Some(chain) = rings.pop(protocol::CONTROL_RECEIVEQ)? else {
                return rings.want_notification(protocol::CONTROL_RECEIVEQ, true);
            };
            let written = chain.writable.write(rings.memory, 0, message)?;
            rings.push(protocol::CONTROL_RECEIVEQ, chain, written as u32)?;
            self.control.pop_front();
        }
        rings.want_notification(protocol::CONTROL_RECEIVEQ, false)
    }

    fn transmit(&mut self, port: usize, rings: &mut Rings<'_, '_>) -> Result<(), QueueError> {
        let queue = protocol::receiveq(port) + 1;
        while let Some(chain) = rings.pop(queue)? {
            if chain.readable.length() > TRANSMIT_LIMIT {
                return Err(QueueError::Length);
            }
            chain.readable.read_all(rings.memory, &mut self.ports[port].output)?;
            rings.push(queue, chain, 0)?;
        }
        rings.want_notification(queue, true)
    }

    fn receive_control(&mut self, rings: &mut Rings<'_, '_>) -> Result<(), QueueError> {
        while let Some(chain) = rings.pop(protocol::CONTROL_TRANSMITQ)? {
            let mut message = [0; protocol::CONTROL_BYTES];
            let length = chain.readable.read(rings.memory, 0, &mut message)?;
            rings.push(protocol::CONTROL_TRANSMITQ, chain, 0)?;
            if self.multiport && length == message.len() {
                self.handle_control(message, rings)?;
            }
        }
        rings.want_notification(protocol::CONTROL_TRANSMITQ, true)?;
        self.deliver_control(rings)
    }

    fn handle_control(&mut self, message: [u8; 8], rings: &mut Rings<'_, '_>) -> Result<(), QueueError> {
        let [i0, i1, i2, i3, e0, e1, v0, v1] = message;
        let id = u32::from_le_bytes([i0, i1, i2, i3]) as usize;
        let value = u16::from_le_bytes([v0, v1]);
        // Each message is answered once, so a guest cannot pile answers up.
        match (u16::from_le_bytes([e0, e1]), self.ports.get_mut(id)) {
            (event::DEVICE_READY, _) if value == 1 && !self.announced => {
                self.announced = true;
                for port in 0..self.ports.len() {
                    self.control.push_back(protocol::control(port, event::DEVICE_ADD, 0, &[]));
                }
            }
            (event::PORT_READY, Some(port)) if value == 1 && !port.ready => {
                port.ready = true;
                if port.config.console {
                    self.control.push_back(protocol::control(id, event::CONSOLE_PORT, 1, &[]));
                }
                if !port.config.name.is_empty() {
                    let name = port.config.name.as_bytes();
                    self.control.push_back(protocol::control(id, event::PORT_NAME, 1, name));
                }
                self.control.push_back(protocol::control(id, event::PORT_OPEN, 1, &[]));
            }
            (event::PORT_OPEN, Some(port)) => {
                port.guest_open = value != 0;
                self.deliver_input(id, rings)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// More control messages than this are never waiting: one to announce each port, three for it.
    fn control_limit(&self) -> usize {
        4 * self.ports.len()
    }

    fn longest_control(&self) -> usize {
        let longest_name = self.ports.iter().map(|port| port.config.name.len()).max();
        protocol::CONTROL_BYTES + longest_name.unwrap_or(0)
    }
}

impl VirtioDevice for Console {
    type State = ConsoleState;

    fn device_id(&self) -> u32 {
        3
    }

    fn features(&self) -> u64 {
        protocol::F_MULTIPORT | protocol::F_EMERGENCY_WRITE
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; 2 * self.ports.len() + 2]
    }

    fn activate(&mut self, features: u64) {
        self.multiport = features & protocol::F_MULTIPORT != 0;
        // Without control messages the one port is simply there.
        self.ports[0].guest_open |= !self.multiport;
    }

    fn reset(&mut self) {
        self.multiport = false;
        self.announced = false;
        self.control.clear();
        self.work = false;
        for Port { config: _, ready, guest_open, input: _, output: _ } in &mut self.ports {
            // What the host and the guest have sent is the board's: drivers reset a device before
            // they use it.
            *ready = false;
            *guest_open = false;
        }
    }

    fn process(&mut self, queue: usize, rings: &mut Rings<'_, '_>) -> Result<(), QueueError> {
        match protocol::role(queue) {
            Role::Receive(port) => self.deliver_input(port, rings),
            Role::Transmit(port) => self.transmit(port, rings),
            Role::ControlReceive => self.deliver_control(rings),
            Role::ControlTransmit => self.receive_control(rings),
        }
    }

    fn has_work(&self) -> bool {
        self.work
    }

    fn advance(&mut self, rings: &mut Rings<'_, '_>) -> Result<(), QueueError> {
        self.work = false;
        self.deliver_control(rings)?;
        (0..self.ports.len()).try_for_each(|port| self.deliver_input(port, rings))
    }

    fn read_config(&self, offset: u32, data: &mut [u8]) {
        let mut config = [0; 12];
        config[4..8].copy_from_slice(&(self.ports.len() as u32).to_le_bytes());
        read_config_bytes(&config, offset, data);
    }

    fn write_config(&mut self, offset: u32, data: &[u8]) {
        if offset == protocol::CONFIG_EMERGENCY_WRITE {
            self.ports[0].output.extend(data.first());
        }
    }

    fn save(&self) -> ConsoleState {
        let Self { ports, multiport, announced, control, work } = self;
        ConsoleState {
            ports: ports.iter().map(Port::save).collect(),
            multiport: *multiport,
            announced: *announced,
            control: control.iter().cloned().collect(),
            work: *work,
        }
    }

    fn restore(&mut self, state: ConsoleState) -> Result<(), RestoreError> {
        let ConsoleState { ports, multiport, announced, control, work } = state;
        if ports.len() != self.ports.len() {
            return Err(RestoreError::Count {
                chip: "virtio-console",
                field: "ports",
                found: ports.len(),
                expected: self.ports.len(),
            });
        }
        let fits = control.len() <= self.control_limit()
            && control.iter().all(|message| message.len() <= self.longest_control());
        check(fits, "virtio-console", "control")?;
        for (port, state) in std::iter::zip(&mut self.ports, ports) {
            port.restore(state);
        }
        self.multiport = multiport;
        self.announced = announced;
        self.control = control.into();
        self.work = work;
        Ok(())
    }
}

impl Port {
    fn save(&self) -> PortState {
        let Self { config: _, ready, guest_open, input, output } = self;
        PortState {
            ready: *ready,
            guest_open: *guest_open,
            input: input.iter().copied().collect(),
            output: output.clone(),
        }
    }

    fn restore(&mut self, state: PortState) {
        let PortState { ready, guest_open, input, output } = state;
        self.ready = ready;
        self.guest_open = guest_open;
        self.input = input.into();
        self.output = output;
    }
}
