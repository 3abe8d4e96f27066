//! Something that runs shell commands: the sandbox, the host itself, another emulator.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// What a command wrote, and how long one waited for it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its standard output.
    pub output: String,
    /// From the request to the answer.
    pub duration: Duration,
}

/// Runs commands with `bash -c`.
pub trait Shell {
    /// Runs a command of one line; it must exit with 0.
    fn run(&mut self, command: &str) -> Result<Outcome>;
}

/// What runs in every reference system, so that all do the same: it takes commands, one a line, and
/// gives each to a new bash, as the sandbox's agent does.
pub const DRIVER: &str = r#"
[ -t 0 ] && stty raw -echo
printf '\n@@ready\n'
while IFS= read -r line; do
    bash -c "$line" < /dev/null 2>&1
    printf '\n@@done %d\n' $?
done
"#;

/// Its first line, and the line after each command's output.
const READY: &str = "@@ready";
const DONE: &str = "@@done ";

/// A child process whose standard input and output lead to a [`DRIVER`]. Between commands it is stopped: an emulator that
/// waits takes some of the processor, too.
pub struct Driver<W: Write, R: Read> {
    child: Child,
    input: W,
    output: BufReader<R>,
}

impl<W: Write, R: Read> Driver<W, R> {
    /// Waits until the driver is ready.
    pub fn new(child: Child, input: W, output: R) -> Result<Self> {
        let mut driver = Self { child, input, output: BufReader::new(output) };
        let _watch = Watch::new(driver.pid());
        driver.read_until_line(|line| line.starts_with(READY)).context("it did not get ready")?;
        Ok(driver)
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What comes before the first line that is `last`, and that line.
    pub fn read_until_line(&mut self, last: impl Fn(&str) -> bool) -> Result<(String, String)> {
        let mut before = String::new();
        loop {
            let mut line = Vec::new();
            if self.output.read_until(b'\n', &mut line)? == 0 {
                bail!("it ended; its last words: {}", tail(&before));
            }
            let line = String::from_utf8_lossy(&line).replace('\r', "");
            if last(&line) {
                return Ok((before, line));
            }
            before.push_str(&line);
        }
    }

    /// Lets it go on, until the next command is done.
    pub fn wake(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        // Should it have ended, the next command says so.
        let _ended = pid.map(|pid| kill_process(pid, signal));
    }

    /// Sends a line that is not for the driver but for what carries it.
    pub fn send(&mut self, line: &str) -> Result<()> {
        self.wake();
        self.input.write_all(format!("{line}\n").as_bytes())?;
        Ok(self.input.flush()?)
    }
}

impl<W: Write, R: Read> Shell for Driver<W, R> {
    fn run(&mut self, command: &str) -> Result<Outcome> {
        ensure!(!command.contains('\n'), "the command has more than one line");
        let started = Instant::now();
        self.send(command)?;
        let (output, done) = self.read_until_line(|line| line.starts_with(DONE))?;
        let duration = started.elapsed();
        self.signal(Signal::STOP);
        // The line break before the mark is the driver's.
        let output = output.strip_suffix('\n').unwrap_or(&output).to_owned();
        ensure!(done.trim_end() == format!("{DONE}0"), "{command} failed ({}): {output}", done.trim_end());
        Ok(Outcome { output, duration })
    }
}

impl<W: Write, R: Read> Drop for Driver<W, R> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends a process that does not get ready; it is its parent that holds this.
struct Watch(#[allow(dead_code, reason = "its end is the message")] std::sync::mpsc::Sender<()>);

/// How long a driver may take to get ready.
const PATIENCE: Duration = Duration::from_secs(90);

impl Watch {
    fn new(pid: u32) -> Self {
        use std::sync::mpsc::{RecvTimeoutError, channel};
        let (alive, ends) = channel();
        std::thread::spawn(move || {
            if ends.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                // A failure shows in that the process lives on.
                let _ = std::process::Command::new("kill").arg(pid.to_string()).status();
            }
        });
        Self(alive)
    }
}

/// The end of a text.
fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(600);
    text.get(start..).unwrap_or(text).trim()
}
