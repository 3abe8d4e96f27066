"""What the program answers, as dataclasses. The fields have the protocol's names."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field, fields
from typing import Any, Dict, Iterator, Literal, Mapping, Optional, Tuple, Type, TypeVar, Union

from ._errors import CommandError, ProtocolError

Message = Dict[str, Any]
EntryType = Literal["file", "directory", "symlink", "fifo", "socket", "char_device", "block_device"]
Language = Literal["python", "bash"]

T = TypeVar("T")
O = TypeVar("O", bound="Output")  # noqa: E741


def build(cls: Type[T], message: Mapping[str, Any], **converted: Any) -> T:
    """An instance from the fields of the same names. Unknown ones are left out: newer programs have more."""
    values = {f.name: message[f.name] for f in fields(cls) if f.name in message}  # type: ignore[arg-type]
    values.update(converted)
    try:
        return cls(**values)
    except TypeError as error:
        raise ProtocolError(f"the program's answer lacks something: {error}: {str(message)[:300]}") from None


def decode_base64(text: str) -> bytes:
    """The bytes behind a string of the program's."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise ProtocolError(f"the program sent base64 that is none: {error}") from None


def _text(message: Mapping[str, Any], name: str, encoding: str) -> Tuple[str, Optional[bytes]]:
    """A text; and its bytes, if they are not UTF-8."""
    value = message.get(name, "")
    if message.get(encoding) != "base64":
        return value, None
    raw = decode_base64(value)
    return raw.decode("utf-8", "replace"), raw


@dataclass(frozen=True)
class Output:
    """What a command or a piece of code wrote, and how it ended."""

    #: What it wrote to standard output. Bytes that are not UTF-8 are replaced by U+FFFD; see `stdout_bytes`.
    stdout: str
    #: The same for standard error.
    stderr: str
    #: From 0 to 255; 128 + n if signal n ended it.
    exit_code: int
    #: Whether its time was over.
    timed_out: bool
    #: Run time in milliseconds.
    duration_ms: int
    #: Whether the middle of `stdout` was left out, because there was too much.
    stdout_truncated: bool = False
    #: The same for `stderr`.
    stderr_truncated: bool = False
    #: Whether its session or context has ended, with all its state.
    session_ended: bool = False
    #: What a reader should know about this result, in a sentence.
    note: Optional[str] = None
    #: The machine went down before, and this is a fresh one: files and processes are the initial ones.
    restarted: bool = False
    _stdout_raw: Optional[bytes] = field(default=None, repr=False)
    _stderr_raw: Optional[bytes] = field(default=None, repr=False)

    @property
    def stdout_bytes(self) -> bytes:
        """Standard output, byte for byte."""
        return self.stdout.encode() if self._stdout_raw is None else self._stdout_raw

    @property
    def stderr_bytes(self) -> bytes:
        """Standard error, byte for byte."""
        return self.stderr.encode() if self._stderr_raw is None else self._stderr_raw

    @property
    def ok(self) -> bool:
        """Whether the exit code is 0 and the time was enough."""
        return self.exit_code == 0 and not self.timed_out

    def check(self: O) -> O:
        """The result itself if it is `ok`; otherwise raises `CommandError`."""
        if self.ok:
            return self
        how = "took too long" if self.timed_out else f"ended with exit code {self.exit_code}"
        raise CommandError(f"it {how}: {(self.stderr or self.stdout).strip()[-1000:]}", self)

    @classmethod
    def parse(cls: Type[O], message: Message, **more: Any) -> O:
        """From an answer."""
        stdout, stdout_raw = _text(message, "stdout", "stdout_encoding")
        stderr, stderr_raw = _text(message, "stderr", "stderr_encoding")
        return build(cls, message, stdout=stdout, stderr=stderr, _stdout_raw=stdout_raw, _stderr_raw=stderr_raw, **more)


@dataclass(frozen=True)
class CommandResult(Output):
    """How a command ended."""

    #: Name of the signal that ended it, such as `"SIGKILL"`.
    signal: Optional[str] = None
    #: CPU time in milliseconds; `None` in sessions.
    cpu_time_ms: Optional[int] = None
    #: Guest instructions that the machine executed meanwhile; `None` for a process that was waited for.
    instructions: Optional[int] = None
    #: Bytes left out of the middle of `stdout`.
    stdout_truncated_bytes: int = 0
    #: Bytes left out of the middle of `stderr`.
    stderr_truncated_bytes: int = 0


@dataclass(frozen=True)
class CodeException:
    """What code raised."""

    #: Its class, such as `"ZeroDivisionError"`.
    name: str
    #: What it says.
    message: str
    #: Where it came from.
    traceback: str


@dataclass(frozen=True)
class CodeResult(Output):
    """What code did."""

    #: Python: the `repr` of the last expression's value, if it is not `None`.
    result: Optional[str] = None
    #: Python: what was raised.
    exception: Optional[CodeException] = None
    #: Guest instructions that the machine executed meanwhile.
    instructions: Optional[int] = None

    @classmethod
    def parse(cls: Type[O], message: Message, **more: Any) -> O:
        """From an answer."""
        raised = message.get("exception")
        exception = None if raised is None else build(CodeException, raised)
        # `super()` needs the class here, since Output.parse is generic in it.
        return super().parse(message, exception=exception, **more)


@dataclass(frozen=True)
class _ProcessEvent:
    #: Counts the process's events from 1, without gaps.
    seq: int
    #: The process; `None` for code and commands in a session.
    process_id: Optional[str] = None


@dataclass(frozen=True)
class Started(_ProcessEvent):
    """It runs."""

    #: Its process identifier in the guest.
    pid: int = 0


@dataclass(frozen=True)
class _Piece(_ProcessEvent):
    #: What was written; bytes that are not UTF-8 are replaced, see `bytes`.
    data: str = ""
    _raw: Optional[bytes] = field(default=None, repr=False)

    @property
    def bytes(self) -> bytes:
        """What was written, byte for byte."""
        return self.data.encode() if self._raw is None else self._raw


@dataclass(frozen=True)
class Stdout(_Piece):
    """It wrote to standard output, or to its terminal."""


@dataclass(frozen=True)
class Stderr(_Piece):
    """It wrote to standard error."""


@dataclass(frozen=True)
class Exited(_ProcessEvent):
    """It ended; all its output has been sent."""

    #: From 0 to 255; 128 + n if signal n ended it.
    exit_code: int = 0
    #: Name of the signal that ended it.
    signal: Optional[str] = None
    #: Whether it was killed because its time was over.
    timed_out: bool = False


ProcessEvent = Union[Started, Stdout, Stderr, Exited]

_EVENTS: Dict[str, Type[ProcessEvent]] = {
    "started": Started,
    "stdout": Stdout,
    "stderr": Stderr,
    "exited": Exited,
}


def process_event(message: Message, process_id: Optional[str] = None) -> ProcessEvent:
    """From an event of the program's."""
    cls = _EVENTS.get(message.get("event", ""))
    if cls is None:
        raise ProtocolError(f"the program sent an unknown event: {str(message)[:300]}")
    process_id = message.get("process_id", process_id)
    if not issubclass(cls, _Piece):
        return build(cls, message, process_id=process_id)
    data, raw = _text(message, "data", "encoding")
    return build(cls, message, process_id=process_id, data=data, _raw=raw)


@dataclass(frozen=True)
class ProcessOutput:
    """Events of a process."""

    #: In order.
    events: Tuple[ProcessEvent, ...]
    #: What to ask for next: the `seq` of the last event seen.
    last_seq: int
    #: Whether the process runs, or has events that were not given.
    more: bool
    #: Events before the first one are gone, because there was too much output.
    gap: bool = False

    @property
    def stdout(self) -> str:
        """The text of all events `Stdout`."""
        return "".join(event.data for event in self.events if isinstance(event, Stdout))

    @property
    def stderr(self) -> str:
        """The text of all events `Stderr`."""
        return "".join(event.data for event in self.events if isinstance(event, Stderr))

    @classmethod
    def parse(cls, message: Message) -> ProcessOutput:
        """From an answer."""
        process_id = message.get("process_id")
        events = tuple(process_event(event, process_id) for event in message.get("events", ()))
        return build(cls, message, events=events)


@dataclass(frozen=True)
class ProcessInfo:
    """A process in the list."""

    #: What it is called in requests.
    process_id: str
    #: The command, or the program with its arguments.
    command: str
    #: Whether it runs.
    running: bool
    #: Whether `start` started it.
    background: bool
    #: Milliseconds since it was started.
    age_ms: int
    #: Its process identifier in the guest.
    pid: Optional[int] = None
    #: Its exit code, if it has ended.
    exit_code: Optional[int] = None
    #: Name of the signal that ended it.
    signal: Optional[str] = None


@dataclass(frozen=True)
class SessionInfo:
    """A shell or interpreter that is kept."""

    #: Its name.
    session: str
    #: Whether it is at work.
    busy: bool
    #: For an interpreter of `run_code`: its language.
    language: Optional[str] = None
    #: Its process identifier in the guest.
    pid: Optional[int] = None


@dataclass(frozen=True)
class Entry:
    """What there is at a path."""

    #: The last part of the path.
    name: str
    #: The whole path.
    path: str
    #: What it is.
    type: EntryType
    #: Its size in bytes.
    size: int
    #: Permission bits in octal, such as `"0644"`.
    mode: str
    #: The same as `ls -l` writes it.
    permissions: str
    #: Its owner's name or number.
    owner: str
    #: Its group's name or number.
    group: str
    #: When it was last modified, in RFC 3339 and UTC.
    modified_time: str
    #: What a symbolic link names.
    symlink_target: Optional[str] = None
    #: Path and link are not UTF-8, and bytes in them were replaced.
    not_utf8: bool = False


@dataclass(frozen=True)
class DirectoryListing:
    """What is in a directory. Iterate over it for the entries."""

    #: Sorted by path.
    entries: Tuple[Entry, ...]
    #: There is more than was to be given.
    truncated: bool = False

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


@dataclass(frozen=True)
class Match:
    """A file or directory that was found, or a line in a file."""

    #: The path.
    path: str
    #: What it is.
    type: EntryType
    #: Its size in bytes.
    size: int
    #: With `content`: the number of the line, from 1.
    line_number: Optional[int] = None
    #: With `content`: the line, shortened to 1000 bytes.
    line: Optional[str] = None


@dataclass(frozen=True)
class Found:
    """What was found. Iterate over it for the matches."""

    #: In the order of their paths.
    matches: Tuple[Match, ...]
    #: There is more than was to be given.
    truncated: bool = False

    def __iter__(self) -> Iterator[Match]:
        return iter(self.matches)

    def __len__(self) -> int:
        return len(self.matches)


@dataclass(frozen=True)
class Copied:
    """How much was copied or brought into the guest."""

    #: Files, links and directories.
    entries: int
    #: Bytes in the files.
    size: int


@dataclass(frozen=True)
class Downloaded:
    """Files brought out of the guest."""

    #: Files, links and directories.
    entries: int
    #: Bytes in the files.
    size: int
    #: Entries that were left out: devices, sockets and pipes.
    skipped: int = 0
    #: The tar archive, if the files were not put into a directory.
    archive: Optional[bytes] = field(default=None, repr=False)


@dataclass(frozen=True)
class FileReplacements:
    """What was replaced in a file."""

    #: The file.
    path: str
    #: In how many places.
    replacements: int


@dataclass(frozen=True)
class Replaced:
    """What was replaced."""

    #: In how many places, in all files together.
    replacements: int
    #: The files, in the order in which they were given.
    files: Tuple[FileReplacements, ...]


@dataclass(frozen=True)
class WatchEvent:
    """Something happened to a file that is watched."""

    #: Counts the watch's events from 1.
    seq: int
    #: What happened. `overflow`: there were too many events and some are lost, look for yourself.
    event: Literal["created", "modified", "attributes", "deleted", "renamed", "overflow"]
    #: The path that it happened to.
    path: str
    #: Whether it is a directory.
    directory: bool
    #: With `renamed`: the new path.
    new_path: Optional[str] = None


@dataclass(frozen=True)
class Limits:
    """What there is at most."""

    #: Memory of the guest.
    memory_bytes: int
    #: Space for files written since the start.
    disk_bytes: int
    #: Bytes kept of an output stream.
    output_bytes: int
    #: Requests for processes that can be open at a time in one sandbox.
    open_processes: int
    #: Bytes of a line.
    line_bytes: int
    #: Bytes of lines that wait for their answers.
    backlog_bytes: int
    #: Bytes of answers and events that nobody has read.
    unread_bytes: int
    #: Largest time limit, in milliseconds.
    time_limit_ms: int
    #: Machines at a time.
    sandboxes: int
    #: Processes and threads of the sandbox; `None` if there is no limit.
    processes: Optional[int] = None


@dataclass(frozen=True)
class Hello:
    """Who the program is."""

    #: Its version.
    version: str
    #: The version of the protocol.
    protocol_version: int
    #: The CPU engine.
    engine: str
    #: The image.
    image: str
    #: The processor that the guest sees.
    arch: str
    #: Every request there is.
    requests: Tuple[str, ...]
    #: What else can be relied on.
    capabilities: Tuple[str, ...]
    #: What there is at most.
    limits: Limits

    @classmethod
    def parse(cls, message: Message) -> Hello:
        """From an answer."""
        return build(
            cls,
            message,
            requests=tuple(message.get("requests", ())),
            capabilities=tuple(message.get("capabilities", ())),
            limits=build(Limits, message.get("limits", {})),
        )


@dataclass(frozen=True)
class CheckpointInfo:
    """A checkpoint."""

    #: Its name.
    name: str
    #: Memory of the machine that it stands for, in bytes.
    size: int


@dataclass(frozen=True)
class Status:
    """How the machine is."""

    #: Whether it takes requests.
    ready: bool
    #: Milliseconds since this machine was started.
    uptime_ms: int
    #: Guest memory in use.
    memory_used_bytes: int
    #: Guest memory there is.
    memory_limit_bytes: int
    #: Space used by files written since the start.
    disk_used_bytes: int
    #: Space for such files.
    disk_limit_bytes: int
    #: Processes and threads started by requests.
    processes: int
    #: CPU time used by them, in milliseconds.
    cpu_time_ms: int
    #: Guest instructions executed.
    instructions: int
    #: Memory of the host that the program occupies.
    host_memory_bytes: int
    #: Requests for processes that are open.
    open_processes: int
    #: Shells and interpreters that are kept.
    open_sessions: int
    #: The checkpoints there are.
    checkpoints: Tuple[CheckpointInfo, ...]
    #: What there is at most.
    limits: Limits
    #: The CPU engine.
    engine: str
    #: The image.
    image: str
    #: The kernel's release.
    kernel: str
    #: How often the machine went down and was started afresh.
    restarts: int
    #: The program's version.
    version: str
    #: The most processes there may be; `None` if there is no limit.
    processes_limit: Optional[int] = None

    @classmethod
    def parse(cls, message: Message) -> Status:
        """From an answer."""
        return build(
            cls,
            message,
            checkpoints=tuple(build(CheckpointInfo, item) for item in message.get("checkpoints", ())),
            limits=build(Limits, message.get("limits", {})),
        )


@dataclass(frozen=True)
class Saved:
    """The machine's state is in a file."""

    #: Path on the host.
    path: str
    #: Size of the file in bytes.
    size: int
    #: How long it took, in milliseconds.
    duration_ms: int
