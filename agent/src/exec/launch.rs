//! From a request to a running process: file descriptors, identity, place; and if it fails, exactly why.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::Pid;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use wasm_sandbox_protocol::agent::{Exec, FailureCode, PtySize, Stdin};

use super::environment::{Environment, c_string};
use crate::contain::Group;
use crate::failure::{Refusal, code, describe};
use crate::protect::Shield;
use crate::sys::clone::{ChildStack, Plan, Step, spawn};
use crate::user::User;

/// A process that was started, and the agent's ends of its streams.
pub struct Launched {
    /// The leader.
    pub pid: Pid,
    /// Becomes readable when the leader has ended.
    pub pidfd: OwnedFd,
    /// Where standard input is written to, unless it is `/dev/null`.
    pub stdin: Option<OwnedFd>,
    /// Where output, or everything on the terminal, is read from.
    pub stdout: OwnedFd,
    /// Where error output is read from; none with a terminal.
    pub stderr: Option<OwnedFd>,
}

/// Which program a request runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The one that its `argv` names.
    Named,
    /// The agent itself, which has no name in the guest's file system.
    Own,
}

/// What starting processes needs again and again.
pub struct Launcher {
    stack: ChildStack,
    null: OwnedFd,
    own_program: OwnedFd,
    shield: Shield,
}

/// The child's ends.
struct Streams {
    child: [OwnedFd; 3],
    stdin: Option<OwnedFd>,
    stdout: OwnedFd,
    stderr: Option<OwnedFd>,
}

impl Launcher {
    /// Prepares for many starts.
    pub fn new(shield: Shield) -> rustix::io::Result<Self> {
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let own_program =
            rustix::fs::open("/proc/self/exe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { stack: ChildStack::new(), null, own_program, shield })
    }

    /// Starts the program of a request in a group.
    pub fn launch(&mut self, exec: &Exec, program: Program, group: &Group) -> Result<Launched, Refusal> {
        self.launch_on(exec, program, group, None)
    }

    /// Starts a program whose output streams are the first of two file descriptors, and the agent's end is the second.
    pub fn launch_on(
        &mut self,
        exec: &Exec,
        program: Program,
        group: &Group,
        output: Option<(OwnedFd, OwnedFd)>,
    ) -> Result<Launched, Refusal> {
        let own = program == Program::Own;
        let Some(program) = exec.argv.first().filter(|program| !program.is_empty()) else {
            return Err(Refusal::new(FailureCode::InvalidArgument, "argv is empty"));
        };
        let user = exec.user.as_ref().map_or_else(|| Ok(User::root()), |user| User::find(user))?;
        let environment = Environment::new(exec, &user)?;
        let programs = environment.candidates(program)?;
        let argv =
            exec.argv.iter().map(|word| c_string(&[word], "an argument")).collect::<Result<Vec<_>, _>>()?;
        let directories = match &exec.cwd {
            Some(directory) => vec![c_string(&[directory], "the working directory")?],
            None => vec![c_string(&[&user.home], "the home directory")?, c"/".into()],
        };
        let identity = exec
            .user
            .as_ref()
            .filter(|_| user != User::root())
            .map(|_| (user.uid, user.gid, user.groups.as_slice()));

        let streams = match (exec.pty, output) {
            (Some(size), _) => terminal(size, &user),
            (None, None) => self.pipes(exec, &user),
            (None, Some(output)) => self.given(output),
        }
        .map_err(|error| Refusal::new(code(error), format!("cannot open streams: {}", describe(error))))?;
        let plan = Plan {
            programs: &programs,
            open_program: own.then(|| self.own_program.as_fd()),
            argv: &argv,
            env: &environment.strings,
            directories: &directories,
            identity,
            stdio: streams.child.each_ref().map(AsFd::as_fd),
            controlling_terminal: exec.pty.is_some(),
            cgroup: group.directory(),
        };
        let stack = &mut self.stack;
        let started = self.shield.lowered(|| spawn(&plan, stack));
        let (pid, pidfd) = started.map_err(|(step, error)| explain(step, error, exec, &programs))?;
        let Streams { child: _closed, stdin, stdout, stderr } = streams;
        Ok(Launched { pid, pidfd, stdin, stdout, stderr })
    }

    fn given(&self, (output, agent): (OwnedFd, OwnedFd)) -> rustix::io::Result<Streams> {
        let copy = |fd: &OwnedFd| fd.try_clone().map_err(|_| Errno::MFILE);
        let child = [copy(&self.null)?, copy(&output)?, output];
        Ok(Streams { child, stdin: None, stdout: agent, stderr: None })
    }

    fn pipes(&self, exec: &Exec, user: &User) -> rustix::io::Result<Streams> {
        let (input, stdin) = match exec.stdin {
            Stdin::Null => (self.null.try_clone().map_err(|_| Errno::MFILE)?, None),
            Stdin::Inline(_) | Stdin::Stream => {
                let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
                (reader, Some(writer))
            }
        };
        let (stdout, output) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, error) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        // Only the agent's ends: the child's must block, as programs expect.
        for fd in stdin.iter().chain([&stdout, &stderr]) {
            rustix::io::ioctl_fionbio(fd, true)?;
        }
        if !user.uid.is_root() {
            // So that opening /dev/stdout works for them, too.
            for fd in [&output, &error].into_iter().chain(stdin.is_some().then_some(&input)) {
                rustix::fs::fchown(fd, Some(user.uid), Some(user.gid))?;
            }
        }
        Ok(Streams { child: [input, output, error], stdin, stdout, stderr: Some(stderr) })
    }
}

fn terminal(size: PtySize, user: &User) -> rustix::io::Result<Streams> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags)?;
    rustix::pty::unlockpt(&master)?;
    resize(&master, size)?;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    if !user.uid.is_root() {
        rustix::fs::fchown(&slave, Some(user.uid), None)?;
    }
    rustix::io::ioctl_fionbio(&master, true)?;
    let copy = |fd: &OwnedFd| fd.try_clone().map_err(|_| Errno::MFILE);
    Ok(Streams {
        child: [copy(&slave)?, copy(&slave)?, slave],
        stdin: Some(copy(&master)?),
        stdout: master,
        stderr: None,
    })
}

/// Tells a terminal its size.
pub fn resize(terminal: impl AsFd, size: PtySize) -> rustix::io::Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size)
}

/// The kernel reports one number for many mistakes; looking at the files tells them apart.
fn explain(step: Step, error: Errno, exec: &Exec, programs: &[CString]) -> Refusal {
    let name = String::from_utf8_lossy(exec.argv.first().map_or(b"", |word| word.as_slice())).into_owned();
    let because = describe(error);
    match step {
        Step::Clone => Refusal::new(FailureCode::NoResources, format!("cannot start a process: {because}")),
        Step::Setup => Refusal::new(FailureCode::Io, format!("cannot set up the process: {because}")),
        Step::Identity => Refusal::new(FailureCode::BadUser, format!("cannot become the user: {because}")),
        Step::Directory => {
            let directory = exec.cwd.as_ref().map_or(b"/".as_slice(), |cwd| cwd.as_slice());
            let directory = String::from_utf8_lossy(directory);
            Refusal::new(FailureCode::BadCwd, format!("cannot enter the directory {directory}: {because}"))
        }
        Step::Exec => {
            let base = exec.cwd.as_ref().map_or(b"/".as_slice(), |cwd| cwd.as_slice());
            let base = Path::new(OsStr::from_bytes(base));
            let there = programs.iter().find_map(|program| {
                let path: PathBuf = base.join(OsStr::from_bytes(program.as_bytes()));
                Some((std::fs::metadata(&path).ok()?, path))
            });
            let (code, why) = match (error, &there) {
                (Errno::NOENT, Some(_)) => {
                    (FailureCode::BadInterpreter, "its interpreter or loader does not exist")
                }
                (Errno::NOENT | Errno::NOTDIR, None) => (FailureCode::NotFound, "no such program"),
                (Errno::ACCESS, Some((meta, _))) if meta.is_dir() => {
                    (FailureCode::IsADirectory, "it is a directory")
                }
                (Errno::ACCESS, Some((meta, _))) if meta.permissions().mode() & 0o111 == 0 => {
                    (FailureCode::NotExecutable, "it has no execute permission")
                }
                (Errno::NOEXEC | Errno::LIBBAD, _) => {
                    (FailureCode::NotExecutable, "it is no program for this machine")
                }
                (Errno::TOOBIG, _) => (FailureCode::TooLarge, "arguments and environment are too large"),
                _ => (crate::failure::code(error), because.as_str()),
            };
            Refusal::new(code, format!("cannot run {name}: {why}"))
        }
    }
}
