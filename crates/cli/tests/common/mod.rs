//! A running `wasm-sandbox`, spoken to as its users do: lines in, lines out.
//!
//! Every answer is read into a type that knows exactly the fields there may be ([`answers`]); no test waits longer
//! than [`PATIENCE`] for one.
#![allow(dead_code, reason = "each test program uses its own part of this")]

mod answers;
mod events;
mod input;
pub mod kept;
pub mod schema;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, Once};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use answers::*;
use input::Input;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_wasm-sandbox");

/// The program as a command, which may be given arguments and an environment. `WASM_SANDBOX_TEST_ENGINE` and
/// `WASM_SANDBOX_TEST_ARCH` in the tests' own environment say with which `--engine` and `--arch`.
pub fn wasm_sandbox() -> Command {
    let mut command = Command::new(PROGRAM);
    for (variable, option) in [("WASM_SANDBOX_TEST_ENGINE", "--engine"), ("WASM_SANDBOX_TEST_ARCH", "--arch")]
    {
        if let Some(value) = std::env::var_os(variable) {
            command.arg(option).arg(value);
        }
    }
    command
}

/// Whether the CPU engine is v86.
pub fn is_v86() -> bool {
    std::env::var("WASM_SANDBOX_TEST_ENGINE").is_ok_and(|engine| engine == "v86")
}

/// The guest's architecture, as `uname -m` has it.
pub fn arch() -> String {
    let usual = || if is_v86() { "i686" } else { "x86_64" };
    std::env::var("WASM_SANDBOX_TEST_ARCH").unwrap_or_else(|_| usual().into())
}

/// The longest wait for one answer; no test measures time with it.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// What commands get unless a test is about time limits: emulated programs on a busy host are slow.
const TIME_LIMIT_MS: u64 = 120_000;

/// A process of the program.
pub struct Session {
    child: Child,
    input: Option<Input>,
    lines: Receiver<Vec<u8>>,
    stderr: File,
    requests: u64,
    /// Lines that came before one that was waited for.
    kept: Vec<String>,
    /// Whether its output is read.
    gate: Arc<(Mutex<bool>, Condvar)>,
}

/// How a process of the program ended.
pub struct End {
    pub status: ExitStatus,
    pub stderr: String,
}

impl Session {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(arguments: &[&str]) -> Self {
        prepare();
        Self::start_from(wasm_sandbox().args(arguments))
    }

    /// Starts the program as `command` says, which may set its environment.
    pub fn start_from(command: &mut Command) -> Self {
        let stderr = tempfile::tempfile().expect("a temporary file");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr.try_clone().expect("a second handle"))
            .spawn()
            .expect("the program starts");
        let input = Input::new(child.stdin.take().expect("its standard input"));
        let stdout = child.stdout.take().expect("its standard output");
        let (sender, lines) = channel();
        let gate = Arc::new((Mutex::new(true), Condvar::new()));
        let open = Arc::clone(&gate);
        std::thread::spawn(move || {
            let mut stdout = BufReader::with_capacity(1 << 20, stdout);
            loop {
                let mut line = Vec::new();
                let is_open = open.0.lock().expect("nobody panics with it");
                drop(open.1.wait_while(is_open, |is_open| !*is_open));
                let length = stdout.read_until(b'\n', &mut line).expect("its output can be read");
                if length == 0 || sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, input: Some(input), lines, stderr, requests: 0, kept: Vec::new(), gate }
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: impl Into<Vec<u8>>) {
        self.send_stream(std::io::Cursor::new(bytes.into()));
    }

    /// Sends bytes that are made while they are sent.
    pub fn send_stream(&mut self, bytes: impl Read + Send + 'static) {
        self.input.as_ref().expect("its standard input is open").send(Box::new(bytes));
    }

    /// Sends a request as it is.
    pub fn send_line(&mut self, request: &Value) {
        self.send_raw(format!("{request}\n"));
    }

    /// Sends a request under a new id, which is returned, and does not wait for the answer.
    pub fn send(&mut self, mut request: Value) -> Value {
        self.requests += 1;
        let id = json!(format!("request-{}", self.requests));
        request["id"] = id.clone();
        self.send_line(&request);
        id
    }

    /// The next line of standard output, without its newline; `None` at its end.
    pub fn next_line(&mut self) -> Option<String> {
        let mut line = match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("no answer within {PATIENCE:?}; stderr: {}", self.stderr())
            }
        };
        assert_eq!(
            line.pop(),
            Some(b'\n'),
            "the last line of the output has no newline: {}",
            start_of(&line)
        );
        Some(String::from_utf8(line).expect("answers are UTF-8"))
    }

    /// The next answer, which must be one of type `T` to the request `id`.
    pub fn next_answer<T: Answer>(&mut self, kind: &str, id: &Value) -> T {
        let line = self.next_line().unwrap_or_else(|| panic!("no answer to {id}; stderr: {}", self.stderr()));
        T::read(&line, kind, id)
    }

    /// Sends a request and waits for its answer, which must be of type `T`.
    pub fn request<T: Answer>(&mut self, request: Value) -> T {
        let kind = request["type"].as_str().expect("a type").to_owned();
        let id = self.send(request);
        self.next_answer(&kind, &id)
    }

    /// Sends a request that must fail in the way `code`, and returns the sentence that says why.
    pub fn refusal(&mut self, code: ErrorCode, request: Value) -> String {
        let shown = start_of(request.to_string().as_bytes());
        let failure: Failure = self.request(request);
        assert_eq!(failure.error_code, code, "{shown}: {}", failure.error);
        assert!(failure.error.len() > 10, "{shown}: {:?} is no sentence", failure.error);
        assert_eq!((failure.stdout, failure.stderr), (None, None), "{shown}");
        failure.error
    }

    /// Runs a command with plenty of time.
    pub fn shell(&mut self, command: &str) -> Shell {
        self.shell_with(command, json!({}))
    }

    /// Runs a command with more fields of the request, from an object.
    pub fn shell_with(&mut self, command: &str, fields: Value) -> Shell {
        self.request(shell_request(command, fields))
    }

    /// Runs a command that must end well and without a word on standard error; its output.
    pub fn output(&mut self, command: &str) -> String {
        let answer = self.shell(command);
        let ended = (answer.exit_code, answer.signal.as_deref(), answer.timed_out, answer.stderr.as_str());
        assert_eq!(ended, (0, None, false, ""), "{command}: {}", start_of(answer.stdout.as_bytes()));
        assert_eq!((answer.stdout_encoding, answer.stdout_truncated_bytes), (None, 0), "{command}");
        answer.stdout
    }

    /// Writes a text file.
    pub fn write_file(&mut self, path: &str, content: &str) {
        self.write(json!({"path": path, "content": content}), content.len());
    }

    /// Writes a file of any bytes.
    pub fn write_bytes(&mut self, path: &str, content: &[u8], mode: &str) {
        let fields =
            json!({"path": path, "content": STANDARD.encode(content), "encoding": "base64", "mode": mode});
        self.write(fields, content.len());
    }

    fn write(&mut self, mut request: Value, size: usize) {
        request["type"] = json!("write_file");
        let answer: Written = self.request(request);
        assert_eq!(answer.size, size as u64);
    }

    /// Reads a text file.
    pub fn read_file(&mut self, path: &str) -> String {
        let answer: Content = self.request(json!({"type": "read_file", "path": path}));
        assert_eq!((answer.encoding, answer.size), (Encoding::Text, answer.content.len() as u64), "{path}");
        answer.content
    }

    /// Reads a file of any bytes.
    pub fn read_bytes(&mut self, path: &str) -> Vec<u8> {
        let answer: Content = self.request(json!({"type": "read_file", "path": path, "encoding": "base64"}));
        let bytes = STANDARD.decode(&answer.content).expect("base64");
        assert_eq!((answer.encoding, answer.size), (Encoding::Base64, bytes.len() as u64), "{path}");
        bytes
    }

    pub fn reset(&mut self) -> ResetDone {
        self.request(json!({"type": "reset"}))
    }

    pub fn status(&mut self) -> Status {
        self.request(json!({"type": "status"}))
    }

    /// A number out of the host's `/proc/PID/status` of the program, in bytes.
    pub fn host_memory(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).expect("the program runs");
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kilobytes = value.and_then(|value| value.trim().strip_suffix(" kB")).expect(field);
        kilobytes.parse::<u64>().expect("a number") * 1024
    }

    /// The program's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends its input, after all that was sent.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Ends its input and waits until it has ended, which it must do without another line of output.
    pub fn close(mut self) -> End {
        self.close_input();
        let line = self.next_line();
        assert_eq!(line.as_deref().map(str::as_bytes).map(start_of), None, "an answer too many");
        self.wait()
    }

    /// Waits until it has ended.
    pub fn wait(mut self) -> End {
        let status = wait_for(&mut self.child);
        End { status, stderr: self.stderr() }
    }

    /// What is mapped into it, as proc(5) has it.
    pub fn maps(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/maps", self.pid())).expect("the program runs")
    }

    /// What it has written to standard error so far.
    ///
    /// Its handle and ours share one position, so it is read without moving that: a line that the program writes
    /// meanwhile would go elsewhere.
    pub fn stderr(&self) -> String {
        let length = self.stderr.metadata().expect("a file").len();
        let mut bytes = vec![0; usize::try_from(length).expect("a length")];
        self.stderr.read_exact_at(&mut bytes, 0).expect("its standard error can be read");
        String::from_utf8(bytes).expect("UTF-8")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A test that failed must not leave a machine behind.
        let _ended_already = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the end of a process, but not for ever.
pub fn wait_for(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status;
        }
        assert!(start.elapsed() < PATIENCE, "the program does not end within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Makes the snapshot that sandboxes start from if it is not there yet: minutes on a busy host, and not what these
/// tests wait for.
pub fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let output = wasm_sandbox().arg("prepare").output().expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
}

/// One session for all tests of a test program, which take turns; a boot costs seconds. After a test that failed
/// the next one gets a fresh session.
pub fn shared() -> MutexGuard<'static, Session> {
    static SESSION: LazyLock<Mutex<Session>> = LazyLock::new(|| Mutex::new(Session::start()));
    SESSION.lock().unwrap_or_else(|poisoned| {
        SESSION.clear_poison();
        let mut session = poisoned.into_inner();
        *session = Session::start();
        session
    })
}

/// How often a test does something: `usually`, or with `WASM_SANDBOX_FULL_TESTS` in the environment as often as
/// one would like it to.
pub fn at_full_tests(usually: usize, fully: usize) -> usize {
    if std::env::var_os("WASM_SANDBOX_FULL_TESTS").is_some() { fully } else { usually }
}

/// A `shell` request with plenty of time and more fields, from an object.
pub fn shell_request(command: &str, fields: Value) -> Value {
    let mut request = json!({"type": "shell", "command": command, "time_limit_ms": TIME_LIMIT_MS});
    for (name, value) in fields.as_object().expect("an object") {
        request[name] = value.clone();
    }
    request
}

/// As `sha256sum` prints it.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Numbers that look random and are the same in every run (SplitMix64).
pub struct Noise(pub u64);

impl Iterator for Noise {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Some(word ^ (word >> 31))
    }
}

/// Bytes that look random and are the same in every run.
pub fn noise(length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        Noise(length as u64).take(length.div_ceil(8)).flat_map(u64::to_le_bytes).collect();
    bytes.truncate(length);
    bytes
}

/// Enough of a line to know it by.
pub fn start_of(bytes: &[u8]) -> String {
    const SHOWN: usize = 300;
    let more = if bytes.len() > SHOWN { format!("… ({} bytes)", bytes.len()) } else { String::new() };
    String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).into_owned() + &more
}
