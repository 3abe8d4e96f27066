//! A living guest: the machine and the conversation with its agent.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use wasm_sandbox_machine::{
    ClockSource, CrashReason, Entropy, Machine, MachineConfig, MachineError, MachineSnapshot, Progress,
    Purpose,
};
use wasm_sandbox_protocol::agent::{AgentToHost, Bytes, HostToAgent, OperationId, PROTOCOL_VERSION, Ready};

use crate::channel::Channel;
use crate::config::SandboxConfig;
use crate::time;

/// A guest that has not reported itself after this time never will; a cold boot takes seconds even on
/// a busy host.
const BOOT_LIMIT: Duration = Duration::from_secs(120);
/// An agent that has not finished a frame after this time never will.
const FRAME_LIMIT: Duration = Duration::from_secs(10);
/// How long an idle guest that owes the rest of a frame is left alone at most.
const FRAME_PAUSE: Duration = Duration::from_millis(1);
/// Bytes of host randomness a guest gets when it is up.
const SEED_BYTES: usize = 64;

/// Why a guest is gone.
#[derive(Debug)]
pub(crate) enum GuestError {
    /// It went down; a fresh one may do better.
    Crashed(String),
    /// This host cannot run it.
    Unusable(MachineError),
}

impl From<MachineError> for GuestError {
    fn from(error: MachineError) -> Self {
        match error {
            MachineError::Crashed(reason) => Self::Crashed(reason.to_string()),
            other => Self::Unusable(other),
        }
    }
}

/// What a snapshot keeps of the conversation with the agent, and of what the host knows.
#[derive(Serialize, Deserialize)]
struct Attachment {
    ready: Ready,
    last_operation: u32,
    /// Frames that were on their way to the agent.
    held: Vec<u8>,
    /// What the worker wants to keep.
    host_state: Vec<u8>,
}

/// The machine with its agent.
pub(crate) struct Guest {
    machine: Machine,
    pub(crate) channel: Channel,
    entropy: Entropy,
    /// Whether the machine's time follows its instructions.
    is_virtual: bool,
    /// The most processes, and bytes of files, that the guest is told.
    limits: (u32, u64),
    frozen: bool,
    ready: Option<Ready>,
    started: Instant,
}

impl Guest {
    /// A guest in the initial state of `config`: from its snapshot with the state that the host kept, or powered on.
    pub(crate) fn start(config: &SandboxConfig) -> Result<(Self, Option<Vec<u8>>), GuestError> {
        match &config.snapshot {
            Some(snapshot) => Self::restore(config, snapshot).map(|(guest, state)| (guest, Some(state))),
            None => Self::boot(config).map(|guest| (guest, None)),
        }
    }

    /// A guest that goes on from `snapshot`, which was made by [`Guest::snapshot`], and the state that the host kept.
    /// It is ready at once.
    pub(crate) fn restore(
        config: &SandboxConfig,
        snapshot: &MachineSnapshot,
    ) -> Result<(Self, Vec<u8>), GuestError> {
        let Attachment { ready, last_operation, held, host_state } =
            postcard::from_bytes(snapshot.attachment()).map_err(|error| {
                MachineError::Kernel(format!("the snapshot is damaged: its attachment: {error}"))
            })?;
        let disk = config.image.disk.clone();
        let machine = Machine::restore(&config.engine, disk, config.sources, snapshot)?;
        let channel = Channel::after(last_operation);
        let mut guest = Self::new(config, machine, channel);
        guest.greet(ready)?;
        guest.channel.send(&HostToAgent::Thaw);
        guest.channel.send_held(&held);
        Ok((guest, host_state))
    }

    /// Has the guest's processes stand still, and lets the guest run until no frame is on its way in either direction;
    /// frames for the agent wait from now on until [`Guest::go_on`]. Frames of the agent go to `take`.
    pub(crate) fn come_to_rest(
        &mut self,
        mut take: impl FnMut(&mut Self, AgentToHost<'static>),
    ) -> Result<(), GuestError> {
        if self.ready.is_none() {
            return Err(GuestError::Crashed("it has not booted yet".into()));
        }
        self.frozen = false;
        self.channel.send(&HostToAgent::Freeze);
        self.channel.hold();
        let started = time::now();
        loop {
            while let Some(frame) = self.next_frame()? {
                take(self, frame);
            }
            if self.frozen && !self.channel.is_busy() {
                return Ok(());
            }
            if time::since(started) > FRAME_LIMIT {
                let reason = format!("the guest did not come to rest within {} s", FRAME_LIMIT.as_secs());
                return Err(GuestError::Crashed(reason));
            }
            if let Progress::Idle(wait) = self.run()? {
                let pause = wait.unwrap_or(FRAME_PAUSE).min(FRAME_PAUSE);
                if self.is_virtual {
                    self.machine.skip(pause);
                    time::follow(Some(self.machine.now()));
                } else {
                    std::thread::sleep(pause);
                }
            }
        }
    }

    /// Goes on after [`Guest::come_to_rest`].
    pub(crate) fn go_on(&mut self) {
        self.channel.release_after(&HostToAgent::Thaw);
    }

    /// Has the code of what the guest does next lie together in memory.
    pub(crate) fn renew_code(&mut self) -> Result<(), GuestError> {
        Ok(self.machine.renew_code()?)
    }

    /// See [`Sandbox::translate_code`](crate::Sandbox::translate_code).
    pub(crate) fn translate_code(&mut self, least: u32) -> Result<(), GuestError> {
        Ok(self.machine.translate_code(least)?)
    }

    /// The guest at this moment, which must be one of rest, with `host_state` beside it.
    pub(crate) fn snapshot(&mut self, host_state: Vec<u8>) -> Result<MachineSnapshot, GuestError> {
        let ready = self.ready.clone().ok_or_else(|| GuestError::Crashed("it has not booted yet".into()))?;
        let held = self.channel.held().to_vec();
        let attachment =
            Attachment { ready, last_operation: self.channel.last_operation(), held, host_state };
        let attachment = postcard::to_allocvec(&attachment)
            .map_err(|error| MachineError::Kernel(format!("a snapshot's attachment: {error}")))?;
        Ok(self.machine.snapshot(attachment)?)
    }

    /// Moves the machine to fresh host structures where that is due.
    pub(crate) fn recycle_if_due(self) -> Result<Self, GuestError> {
        if !self.machine.wants_recycling() {
            return Ok(self);
        }
        let machine = self.machine.recycle()?;
        Ok(Self { machine, ..self })
    }

    /// Whether [`Guest::recycle_if_due`] has something to do.
    pub(crate) fn wants_recycling(&self) -> bool {
        self.machine.wants_recycling()
    }

    fn new(config: &SandboxConfig, mut machine: Machine, channel: Channel) -> Self {
        let processes = u32::try_from(config.process_limit()).unwrap_or(u32::MAX);
        let limits = (processes, config.disk_limit_bytes());
        let entropy = Entropy::new(config.sources.seed, Purpose::Greeting);
        let is_virtual = config.sources.clock == ClockSource::Instructions;
        time::follow(is_virtual.then(|| machine.now()));
        Self {
            machine,
            channel,
            entropy,
            is_virtual,
            limits,
            frozen: false,
            ready: None,
            started: time::now(),
        }
    }

    /// Powers a machine on; its agent reports later.
    fn boot(config: &SandboxConfig) -> Result<Self, GuestError> {
        let machine = Machine::boot(MachineConfig {
            engine: &config.engine,
            arch: config.image.arch,
            ram_bytes: config.memory_limit_bytes,
            kernel: config.image.kernel,
            initrd: config.image.initrd,
            disk: config.image.disk.clone(),
            verbose: config.kernel_log,
            sources: config.sources,
        })?;
        Ok(Self::new(config, machine, Channel::default()))
    }

    /// Who the agent said it is; `None` while the guest boots.
    pub(crate) fn ready(&self) -> Option<&Ready> {
        self.ready.as_ref()
    }

    /// When the machine was powered on.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Machine time since power-on.
    pub(crate) fn now(&mut self) -> Duration {
        self.machine.now()
    }

    /// Lets `duration` pass at once, where time follows instructions.
    pub(crate) fn skip(&mut self, duration: Duration) {
        self.machine.skip(duration);
    }

    /// The SHA-256 sum of the guest's RAM, in hexadecimal digits.
    pub(crate) fn memory_hash(&mut self) -> String {
        self.machine.memory_hash().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Guest instructions executed so far.
    pub(crate) fn instructions(&self) -> u64 {
        self.machine.statistics().instructions
    }

    /// Lets the guest run for about a millisecond, or less if it waits.
    pub(crate) fn run(&mut self) -> Result<Progress, GuestError> {
        let outgoing = self.channel.take_outgoing();
        if !outgoing.is_empty() {
            self.machine.send_to_agent(&outgoing);
        }
        let progress = self.machine.run()?;
        let incoming = self.machine.take_from_agent();
        self.channel.receive(&incoming);
        if self.ready.is_none() && time::since(self.started) > BOOT_LIMIT {
            return Err(GuestError::Crashed(format!(
                "the guest's agent did not report within {} s of power-on",
                BOOT_LIMIT.as_secs()
            )));
        }
        Ok(progress)
    }

    /// The next frame that belongs to an operation.
    pub(crate) fn next_frame(&mut self) -> Result<Option<AgentToHost<'static>>, GuestError> {
        let garbled = |error| GuestError::Crashed(format!("the guest's agent garbles its frames ({error})"));
        while let Some(frame) = self.channel.next_frame().map_err(garbled)? {
            match frame {
                AgentToHost::Ready(ready) => self.greet(ready)?,
                AgentToHost::Pong { .. } => {}
                AgentToHost::Frozen => self.frozen = true,
                AgentToHost::ProtocolError { message } => {
                    tracing::warn!(target: "agent", "{message}");
                }
                frame => return Ok(Some(frame)),
            }
        }
        Ok(None)
    }

    fn greet(&mut self, ready: Ready) -> Result<(), GuestError> {
        if ready.protocol_version != PROTOCOL_VERSION {
            return Err(GuestError::Unusable(MachineError::Kernel(format!(
                "its agent speaks version {} of the protocol, this program version {PROTOCOL_VERSION}",
                ready.protocol_version
            ))));
        }
        if self.ready.is_some() {
            return Err(GuestError::Crashed("the guest's agent died and was started again".into()));
        }
        let wall_clock_ns = u64::try_from(self.machine.wall_clock().as_nanos()).unwrap_or(u64::MAX);
        self.channel.send(&HostToAgent::SetClock { wall_clock_ns });
        let (processes, disk) = self.limits;
        self.channel.send(&HostToAgent::SetLimits { processes: Some(processes), disk: Some(disk) });
        let mut seed = [0; SEED_BYTES];
        self.entropy.fill(&mut seed);
        self.channel.send(&HostToAgent::AddEntropy { data: Bytes::from(&seed[..]) });
        tracing::debug!(
            kernel = ready.kernel,
            uptime_ms = time::since(self.started).as_millis(),
            "guest is ready"
        );
        self.ready = Some(ready);
        Ok(())
    }

    /// An identifier for a new operation.
    pub(crate) fn next_operation(&mut self) -> OperationId {
        self.channel.next_operation()
    }
}

/// The words for a crash in an answer.
pub(crate) fn crash_message(reason: &str) -> String {
    format!("the machine went down: {reason}; it is started afresh, in its initial state")
}

impl From<CrashReason> for GuestError {
    fn from(reason: CrashReason) -> Self {
        Self::Crashed(reason.to_string())
    }
}
