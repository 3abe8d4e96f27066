"""The client that waits. It may be used from several threads at once."""

from __future__ import annotations

import queue
import sys
import weakref
from typing import (
    TYPE_CHECKING,
    Callable,
    Generic,
    Iterator,
    Optional,
    Sequence,
    TextIO,
    Tuple,
    TypeVar,
    Union,
)

from . import _calls, _core
from ._archive import unpack
from ._calls import Call, CodeOptions, CommandOptions, Data, Mode, StartOptions
from ._channel import Client, handshake_failure, note_restart
from ._errors import ClosedError, SandboxError, TimedOutError, UnknownProcessError
from ._program import ProgramOptions, command_line, find_program
from ._types import (
    CodeResult,
    CommandResult,
    Copied,
    DirectoryListing,
    Downloaded,
    Entry,
    EntryType,
    Found,
    Hello,
    Language,
    Message,
    ProcessEvent,
    ProcessInfo,
    ProcessOutput,
    Replaced,
    Saved,
    SessionInfo,
    Status,
    Stderr,
    Stdout,
    WatchEvent,
    build,
)

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from typing_extensions import Self, Unpack

    HostPath = Union[str, "os.PathLike[str]"]

T = TypeVar("T")
R = TypeVar("R", CommandResult, CodeResult)
Command = Union[str, Sequence[str]]
OnText = Optional[Callable[[str], object]]


class _Reply(Generic[T]):
    """A request that was sent: its events and its answer."""

    def __init__(self, sandbox: Sandbox, call: Call[T]) -> None:
        self._call = call
        self._inbox: queue.SimpleQueue[Union[Message, SandboxError]] = queue.SimpleQueue()
        self._channel = sandbox._client.channel
        self.id = self._channel.send(call, self._inbox.put, sandbox=sandbox._name, concurrent=not sandbox._ordered)

    def next(self, timeout: Optional[float] = None) -> Message:
        """The next event, or the answer. Whatever ends the wait ends the request, too."""
        try:
            message = self._inbox.get(timeout=timeout)
        except queue.Empty:
            raise
        except BaseException:  # KeyboardInterrupt
            self.abandon()
            raise
        if isinstance(message, SandboxError):
            raise message
        note_restart(message)
        return message

    def result(self) -> T:
        """The result; events before it are dropped."""
        while True:
            message = self.next()
            if not _core.is_event(message):
                return _core.result(self._call, message)

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._channel.abandon(self.id)


class Stream(Generic[R]):
    """The events of a command that runs. Iterate over it; then `result` has how it ended.

    Events that were not yet taken are kept in memory. A stream that is closed or forgotten before its end cancels the
    command.
    """

    def __init__(self, sandbox: Sandbox, call: Call[R]) -> None:
        self._reply: _Reply[R] = _Reply(sandbox, call.streamed())
        self._sandbox = sandbox
        self._call: Call[R] = call
        self._result: Optional[R] = None
        self._over = False

    @property
    def id(self) -> Union[str, int]:
        """The request's id, for `Sandbox.cancel`."""
        return self._reply.id

    def __iter__(self) -> Iterator[ProcessEvent]:
        return self

    def __next__(self) -> ProcessEvent:
        if self._over:
            raise StopIteration
        try:
            message = self._reply.next()
            if _core.is_event(message):
                return _core.event(message)
            self._over = True
            self._result = _core.result(self._call, message)
        except BaseException:
            self.close()
            raise
        raise StopIteration

    @property
    def result(self) -> R:
        """How it ended. Waits for that; events that were not taken are dropped then."""
        for _ in self:
            pass
        if self._result is None:
            raise ClosedError("the stream was closed, or failed, and has no result")
        return self._result

    def cancel(self) -> bool:
        """Stops the command. The iteration goes on to its end, which is a `RequestCancelledError`."""
        return self._sandbox.cancel(self.id)

    def close(self) -> None:
        """Stops the command, if it runs, and forgets about it."""
        if not self._over:
            self._over = True
            self._reply.abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_over"):
            self.close()


class Process:
    """A process in the background."""

    def __init__(self, sandbox: Sandbox, process_id: str, pid: Optional[int] = None) -> None:
        self._sandbox = sandbox
        #: What the program calls it.
        self.process_id = process_id
        #: Its process identifier in the guest, if known.
        self.pid = pid
        self._seen = 0

    def __repr__(self) -> str:
        return f"<Process {self.process_id}, pid {self.pid}>"

    def read(
        self, *, wait: float = 0, after_seq: Optional[int] = None, max_bytes: Optional[int] = None
    ) -> ProcessOutput:
        """What it did since the last `read`, or after the event `after_seq`; waits up to `wait` seconds for it."""
        after = self._seen if after_seq is None else after_seq
        output = self._sandbox._ask(_calls.process_read(self.process_id, after, max_bytes, wait))
        self._seen = output.last_seq
        return output

    def __iter__(self) -> Iterator[ProcessEvent]:
        """All its events that are kept, and those to come, until it has ended."""
        after, more = 0, True
        while more:
            output = self._sandbox._ask(_calls.process_read(self.process_id, after, None, POLL_SECONDS))
            after, more = output.last_seq, output.more
            yield from output.events

    def write(self, data: Data) -> int:
        """Writes to its standard input (see `open_stdin` and `pty`); waits until it has room."""
        return self._sandbox._ask(_calls.process_write(self.process_id, data))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Kills it, if it runs still."""
        if not self._sandbox.closed:
            try:
                self.kill()
            except UnknownProcessError:
                pass  # It is gone already.

    def close_stdin(self) -> None:
        """Ends its standard input."""
        self._sandbox._ask(_calls.process_close_stdin(self.process_id))

    def signal(self, signal: Union[str, int] = "SIGTERM", *, leader_only: bool = False) -> None:
        """Sends a signal to its process group, or to it alone."""
        self._sandbox._ask(_calls.process_signal(self.process_id, signal, leader_only))

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.signal("SIGKILL")

    def wait(self, timeout: Optional[float] = None) -> CommandResult:
        """How it ended, with its output; `TimedOutError` if it runs still after `timeout` seconds."""
        result = self._sandbox._ask(_calls.process_wait(self.process_id, _calls.milliseconds(timeout)))
        if result is None:
            raise still_running(self.process_id)
        return result

    def poll(self) -> Optional[CommandResult]:
        """How it ended; `None` if it runs."""
        return self._sandbox._ask(_calls.process_wait(self.process_id, 1))

    def resize(self, cols: int, rows: int) -> None:
        """Changes the size of its terminal."""
        self._sandbox._ask(_calls.process_resize(self.process_id, cols, rows))

    def wait_log(self, pattern: str, timeout: Optional[float] = None) -> str:
        """The first line of output that matches a regular expression; `TimedOutError` after `timeout` seconds (5)."""
        return self._sandbox._ask(_calls.wait_log(self.process_id, pattern, timeout))


#: How long a read for an iteration waits before it asks again, in seconds.
POLL_SECONDS = 600


def still_running(process_id: str) -> TimedOutError:
    """For waits that are over before the process is."""
    return TimedOutError(f"{process_id} runs still", "timed_out", "process_wait")


class Session:
    """A shell that lives on: directory, variables and functions stay from one command to the next.

    The first command starts it.
    """

    def __init__(self, sandbox: Sandbox, name: str) -> None:
        self._sandbox = sandbox
        #: Its name.
        self.name = name

    def run(
        self,
        command: str,
        *,
        on_stdout: OnText = None,
        on_stderr: OnText = None,
        **options: Unpack[CommandOptions],
    ) -> CommandResult:
        """Runs a command in it; see `Sandbox.run`."""
        call = _calls.command(command, self.name, **options)
        return self._sandbox._run(call, on_stdout, on_stderr)

    def stream(self, command: str, **options: Unpack[CommandOptions]) -> Stream[CommandResult]:
        """Runs a command in it; see `Sandbox.stream`."""
        return Stream(self._sandbox, _calls.command(command, self.name, **options))

    def close(self) -> None:
        """Ends it, with all its processes."""
        self._sandbox._ask(_calls.session_close(self.name))


class Context:
    """An interpreter that keeps its variables from one piece of code to the next. The first one starts it."""

    def __init__(self, sandbox: Sandbox, name: str, language: Language) -> None:
        self._sandbox = sandbox
        #: Its name.
        self.name = name
        #: Its language.
        self.language = language

    def run(
        self,
        code: str,
        *,
        on_stdout: OnText = None,
        on_stderr: OnText = None,
        **options: Unpack[CodeOptions],
    ) -> CodeResult:
        """Runs code in it; see `Sandbox.run_code`."""
        call = _calls.run_code(code, self.language, self.name, **options)
        return self._sandbox._run(call, on_stdout, on_stderr)

    def close(self) -> None:
        """Ends it, with all its processes."""
        self._sandbox._ask(_calls.session_close(self.name, self.language))


class Watch:
    """Changes of files. Iterate over it; it ends when it is closed."""

    def __init__(self, sandbox: Sandbox, path: str, recursive: bool) -> None:
        self._sandbox = sandbox
        self._reply = _Reply(sandbox, _calls.watch(path, recursive))
        #: What the program calls it.
        self.watch_id = self._reply.result()
        self._closed = False

    def __iter__(self) -> Iterator[WatchEvent]:
        while not self._closed:
            try:
                event = self.next()
            except ClosedError:
                return
            if event is not None:
                yield event

    def next(self, timeout: Optional[float] = None) -> Optional[WatchEvent]:
        """The next change; `None` if there is none for `timeout` seconds."""
        try:
            return build(WatchEvent, self._reply.next(timeout))
        except queue.Empty:
            return None

    def close(self) -> None:
        """Ends it."""
        if not self._closed:
            self._closed = True
            self._reply.abandon()
            self._reply._inbox.put(ClosedError("the watch is closed"))
            self._sandbox._ask(_calls.unwatch(self.watch_id))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._sandbox.closed:
            self.close()


class Files:
    """The guest's files. All paths are absolute paths in the guest, unless said otherwise."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._ask = sandbox._ask
        self._sandbox = sandbox

    def read_text(self, path: str, *, offset: Optional[int] = None, length: Optional[int] = None) -> str:
        """A file's text, which must be UTF-8: all, or `length` bytes from byte `offset`."""
        return self._ask(_calls.read_text(path, offset, length))

    def read_bytes(self, path: str, *, offset: Optional[int] = None, length: Optional[int] = None) -> bytes:
        """A file's bytes: all, or `length` of them from `offset`."""
        return self._ask(_calls.read_bytes(path, offset, length))

    def write(
        self,
        path: str,
        data: Data,
        *,
        mode: Optional[Mode] = None,
        create_parents: bool = False,
        atomic: Optional[bool] = None,
    ) -> int:
        """Makes a file, or replaces its content: at once, unless `atomic=False`. The result is its size."""
        return self._ask(_calls.write_file(path, data, mode, False, create_parents, atomic))

    def append(self, path: str, data: Data, *, mode: Optional[Mode] = None, create_parents: bool = False) -> int:
        """Adds to the end of a file, which is made if it is missing. The result is how many bytes were added."""
        return self._ask(_calls.write_file(path, data, mode, True, create_parents, None))

    def list(self, path: str, *, depth: Optional[int] = None, max_entries: Optional[int] = None) -> DirectoryListing:
        """What is in a directory; with `depth` 2 in its subdirectories, too."""
        return self._ask(_calls.list_dir(path, depth, max_entries))

    def stat(self, path: str, *, follow: bool = True) -> Entry:
        """What a path is."""
        return self._ask(_calls.stat(path, follow))

    def exists(self, path: str) -> bool:
        """Whether there is something."""
        return self._ask(_calls.exists(path))

    def mkdir(self, path: str, *, create_parents: bool = False, mode: Optional[Mode] = None) -> bool:
        """Makes a directory. With `create_parents`, one that is there is no error. Whether it was made."""
        return self._ask(_calls.mkdir(path, create_parents, mode))

    def remove(self, path: str, *, recursive: bool = False, missing_ok: bool = False) -> int:
        """Removes a file or directory. The result is how many were removed."""
        return self._ask(_calls.remove(path, recursive, missing_ok))

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        """Renames or moves a file or directory."""
        self._ask(_calls.rename(source, target, overwrite))

    def copy(self, source: str, target: str, *, recursive: bool = False, overwrite: bool = False) -> Copied:
        """Copies a file; with `recursive`, a directory."""
        return self._ask(_calls.copy(source, target, recursive, overwrite))

    def symlink(self, path: str, target: str) -> None:
        """Makes a symbolic link at `path` that names `target`."""
        self._ask(_calls.symlink(path, target))

    def chmod(self, path: str, mode: Mode) -> None:
        """Changes permission bits: `0o755` or `"0755"`."""
        self._ask(_calls.chmod(path, mode))

    def find(
        self,
        path: str,
        name: Optional[str] = None,
        *,
        entry_type: Optional[EntryType] = None,
        content: Optional[str] = None,
        ignore_case: bool = False,
        max_depth: Optional[int] = None,
        max_results: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> Found:
        """Finds files below a directory by name (`"*.py"`), type, and lines that match a regular expression."""
        return self._ask(
            _calls.find(
                path,
                name,
                entry_type=entry_type,
                content=content,
                ignore_case=ignore_case,
                max_depth=max_depth,
                max_results=max_results,
                timeout=timeout,
            )
        )

    def replace(
        self,
        paths: Union[str, Sequence[str]],
        old: str,
        new: str,
        *,
        regex: bool = False,
        expected_replacements: Optional[int] = None,
    ) -> Replaced:
        """Replaces text in one or more files: in all of them, or, if something is wrong, in none."""
        return self._ask(_calls.replace(paths, old, new, regex, expected_replacements))

    def watch(self, path: str, *, recursive: bool = False) -> Watch:
        """Reports changes of a file, or of what is in a directory."""
        return Watch(self._sandbox, path, recursive)

    def upload(
        self,
        path: str,
        source: Union[HostPath, bytes, None] = None,
        *,
        host_path: Optional[HostPath] = None,
        timeout: Optional[float] = None,
    ) -> Copied:
        """Brings files into the directory `path` of the guest.

        `source` is a file of the host, a directory of the host (its content is brought), or, as bytes, a tar archive.
        With `host_path` instead, the program reads the files by itself, which it must be allowed (`allow_read`).
        """
        return self._ask(_calls.upload(path, source, host_path, timeout))

    def download(
        self,
        path: str,
        target: Optional[HostPath] = None,
        *,
        host_path: Optional[HostPath] = None,
        timeout: Optional[float] = None,
    ) -> Downloaded:
        """Brings a file, or a directory with everything in it, out of the guest.

        The files go to the directory `target` of the host; without it, the result has them as a tar `archive`. With
        `host_path` instead, the program writes them by itself, which it must be allowed (`allow_write`).
        """
        result = self._ask(_calls.download(path, host_path, timeout))
        if target is not None and result.archive is not None:
            unpack(result.archive, target)
        return result


class Sandbox:
    """A machine of its own, to be used with `with` or to be closed with `close`.

    All times are in seconds. `None` for an option means what the program does without it.
    """

    def __init__(
        self,
        program: Optional[HostPath] = None,
        *,
        ordered: bool = True,
        start_timeout: float = 600,
        stderr: Optional[TextIO] = None,
        **options: Unpack[ProgramOptions],
    ) -> None:
        """Starts the program.

        `program` is its path; without it, see `find_program`. The options are those of its command line:
        `memory_limit` and `disk_limit` (in MiB), `process_limit`, `image`, `snapshot`, `no_snapshot`, `allow_read`,
        `allow_write`, `verbose`, and `arguments` for all others. What it says on standard error is kept for error
        messages, and copied to `stderr` if that is given. The very first start makes a snapshot, which takes
        minutes; `start_timeout` is how long that may take.

        Requests are carried out in the order in which they are sent, from all threads and for all forks
        together. With `ordered=False` they do not wait for each other.
        """
        command = command_line(find_program(program), **options)
        self._client = Client(command, sys.stderr if stderr is None and options.get("verbose") else stderr)
        self._name: Optional[str] = None
        self._ordered = ordered
        self._closed = False
        try:
            reply = _Reply(self, _calls.hello())
            try:
                hello = _core.result(_calls.hello(), reply.next(start_timeout))
            except queue.Empty:
                raise handshake_failure(self._client, start_timeout) from None
            self._client.channel.set_line_bytes(hello.limits.line_bytes)
        except BaseException:
            self._client.channel.kill()
            self._client.close()
            raise

    #: Of a fork.
    _finalizer: weakref.finalize[..., Sandbox]

    @classmethod
    def _fork(cls, client: Client, name: str, ordered: bool) -> Sandbox:
        self = cls.__new__(cls)
        self._client, self._name, self._ordered, self._closed = client, name, ordered, False
        # A machine that nobody can reach any more only takes memory.
        self._finalizer = weakref.finalize(self, client.channel.post, _calls.close(), name)
        self._finalizer.atexit = False
        return self

    def __repr__(self) -> str:
        name = "" if self._name is None else f" {self._name}"
        return f"<{type(self).__name__}{name}{', closed' if self.closed else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    @property
    def name(self) -> Optional[str]:
        """A fork's name; `None` for the first machine."""
        return self._name

    @property
    def closed(self) -> bool:
        """Whether it is closed, or its program has ended."""
        return self._closed or self._client.channel.over

    @property
    def files(self) -> Files:
        """The guest's files."""
        return Files(self)

    def close(self) -> None:
        """Ends the machine. With the first one, the program ends, and all forks with it.

        Requests that wait get `ClosedError`; with a fork's end, `RequestCancelledError`. Closing twice is no error.
        """
        if self._closed:
            return
        if self._name is None:
            self._closed = True
            self._client.close()
        elif not self._client.channel.over:
            self._finalizer.detach()
            try:
                _Reply(self, _calls.close()).result()
            except ClosedError:
                pass  # Its program was closed in this moment.
            finally:
                self._closed = True

    def _ask(self, call: Call[T]) -> T:
        return _Reply(self, self._checked(call)).result()

    def _checked(self, call: Call[T]) -> Call[T]:
        if self._closed:
            raise ClosedError("the sandbox is closed")
        return call

    def _run(self, call: Call[R], on_stdout: OnText, on_stderr: OnText) -> R:
        if on_stdout is None and on_stderr is None:
            return self._ask(call)
        with Stream(self, self._checked(call)) as stream:
            for event in stream:
                if isinstance(event, Stdout) and on_stdout is not None:
                    on_stdout(event.data)
                elif isinstance(event, Stderr) and on_stderr is not None:
                    on_stderr(event.data)
            return stream.result

    # Commands and code

    def run(
        self,
        command: str,
        *,
        on_stdout: OnText = None,
        on_stderr: OnText = None,
        **options: Unpack[CommandOptions],
    ) -> CommandResult:
        """Runs a command in a shell (bash), and waits for it.

        Options: `timeout` (seconds; 5 without it. Then it is killed with its children and the result says
        `timed_out`), `cpu_timeout`, `max_instructions`, `cwd`, `env`, `clear_env`, `user`, `stdin` (text or
        bytes), `max_output_bytes`,
        `pty` (columns and rows of a terminal), and `request_id` (for `cancel`). `on_stdout` and `on_stderr` are called
        with pieces of text while it runs.
        """
        return self._run(_calls.command(command, **options), on_stdout, on_stderr)

    def exec(
        self,
        argv: Sequence[str],
        *,
        on_stdout: OnText = None,
        on_stderr: OnText = None,
        **options: Unpack[CommandOptions],
    ) -> CommandResult:
        """Runs a program with arguments, without a shell, and waits for it. The options are those of `run`."""
        return self._run(_calls.command(not_text(argv), **options), on_stdout, on_stderr)

    def stream(self, command: Command, **options: Unpack[CommandOptions]) -> Stream[CommandResult]:
        """Runs a command (text) or a program with arguments (a list), and gives its events while it runs."""
        return Stream(self, self._checked(_calls.command(command, **options)))

    def start(self, command: Command, **options: Unpack[StartOptions]) -> Process:
        """Starts a command (text) or a program with arguments (a list) in the background.

        It has no time limit, unless `timeout` is given. With `open_stdin` or `pty` it can be written to.
        """
        return Process(self, *self._ask(_calls.start(command, **options)))

    def process(self, process_id: str) -> Process:
        """A background process that was started before, by the name that `processes` gives."""
        return Process(self, process_id)

    def processes(self) -> Tuple[ProcessInfo, ...]:
        """The processes started by requests: those that run, and those that ended in the background."""
        return self._ask(_calls.process_list())

    def run_code(
        self,
        code: str,
        language: Language = "python",
        *,
        context: Optional[str] = None,
        on_stdout: OnText = None,
        on_stderr: OnText = None,
        **options: Unpack[CodeOptions],
    ) -> CodeResult:
        """Runs code in an interpreter that keeps its variables; each `context` has one of its own.

        Options: `timeout`, `max_output_bytes`, `request_id`; and for a new interpreter `cwd` and `env`. An
        exception in the code is no exception here: see the result's `exception`.
        """
        return self._run(_calls.run_code(code, language, context, **options), on_stdout, on_stderr)

    def stream_code(
        self,
        code: str,
        language: Language = "python",
        *,
        context: Optional[str] = None,
        **options: Unpack[CodeOptions],
    ) -> Stream[CodeResult]:
        """The same, and gives its events while it runs."""
        return Stream(self, self._checked(_calls.run_code(code, language, context, **options)))

    def session(self, name: str) -> Session:
        """The shell of this name, which lives on from one command to the next."""
        return Session(self, name)

    def context(self, name: str = "default", language: Language = "python") -> Context:
        """The interpreter of this name, which lives on from one piece of code to the next."""
        return Context(self, name, language)

    def sessions(self) -> Tuple[SessionInfo, ...]:
        """The shells and interpreters that are kept."""
        return self._ask(_calls.session_list())

    def wait_port(self, port: int, timeout: Optional[float] = None) -> None:
        """Waits until something listens on a TCP port; `TimedOutError` after `timeout` seconds (5)."""
        self._ask(_calls.wait_port(port, timeout))

    def cancel(self, request_id: Union[str, int]) -> bool:
        """Stops a request, which ends with `RequestCancelledError`. Whether it was waiting or under way."""
        return self._ask(_calls.cancel(request_id))

    # The machine

    def hello(self) -> Hello:
        """Who the program is: versions, capabilities, limits."""
        return self._ask(_calls.hello())

    def status(self) -> Status:
        """How the machine is: memory, disk, processes…"""
        return self._ask(_calls.status())

    def reset(self) -> None:
        """Puts everything back to the initial state: files and processes."""
        self._ask(_calls.reset())

    def checkpoint(self, name: str) -> None:
        """Keeps the machine as it is now, files and processes, under a name."""
        self._ask(_calls.checkpoint(name))

    def restore(self, name: str) -> None:
        """Puts the machine back to a checkpoint, as often as one likes."""
        self._ask(_calls.restore(name))

    def delete_checkpoint(self, name: str) -> None:
        """Forgets a checkpoint."""
        self._ask(_calls.checkpoint_delete(name))

    def fork(self, name: Optional[str] = None) -> Sandbox:
        """A second, independent machine that goes on from this one's state. Close it, or use it with `with`."""
        return Sandbox._fork(self._client, self._ask(_calls.fork(name)), self._ordered)

    def save(self, path: HostPath) -> Saved:
        """Writes the machine as it is now to a file of the host; `Sandbox(snapshot=path)` goes on from it."""
        return self._ask(_calls.save(path))


def not_text(argv: Sequence[str]) -> Sequence[str]:
    """A list; a string is a sequence of strings, too, but not what is meant."""
    if isinstance(argv, str):
        raise TypeError("`exec` takes a list of arguments; for a command line there is `run`")
    return argv
