"""The client for asyncio: the same names as in `_sync`, to be awaited.

Every request is sent with `"async": true`, because who starts several tasks means them to run side by side, and who
awaits one request after the other has their order anyway. `ordered=True` leaves it out.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import weakref
from typing import (
    TYPE_CHECKING,
    Any,
    AsyncIterator,
    Callable,
    Generic,
    Optional,
    Sequence,
    TextIO,
    Tuple,
    TypeVar,
    Union,
)

from . import _calls, _core, _sync
from ._archive import unpack
from ._calls import Call, CodeOptions, CommandOptions, Data, Mode, StartOptions
from ._channel import Client, handshake_failure, note_restart
from ._errors import ClosedError, SandboxError, UnknownProcessError
from ._program import ProgramOptions, command_line, find_program
from ._sync import Command, not_text, still_running
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
#: Plain functions or coroutine functions.
OnText = Optional[Callable[[str], object]]


class _Reply(Generic[T]):
    """A request that was sent: its events and its answer."""

    def __init__(self, sandbox: AsyncSandbox, call: Call[T]) -> None:
        self._call = call
        loop = asyncio.get_running_loop()
        inbox: asyncio.Queue[Union[Message, SandboxError]] = asyncio.Queue()
        self._inbox = inbox

        def sink(message: Union[Message, SandboxError]) -> None:
            try:
                loop.call_soon_threadsafe(inbox.put_nowait, message)
            except RuntimeError:
                pass  # The loop is closed, so nobody waits.

        self._channel = sandbox._running.channel
        self.id = self._channel.send(call, sink, sandbox=sandbox._name, concurrent=not sandbox._ordered)

    async def next(self) -> Message:
        """The next event, or the answer. Cancelling the task cancels the request."""
        try:
            message = await self._inbox.get()
        except BaseException:
            self.abandon()
            raise
        if isinstance(message, SandboxError):
            raise message
        note_restart(message)
        return message

    async def next_event(self, timeout: Optional[float]) -> Message:
        """The next event; `asyncio.TimeoutError` if there is none for so long. That leaves the request alone."""
        message = await asyncio.wait_for(self._inbox.get(), timeout)
        if isinstance(message, SandboxError):
            raise message
        return message

    async def result(self) -> T:
        """The result; events before it are dropped."""
        while True:
            message = await self.next()
            if not _core.is_event(message):
                return _core.result(self._call, message)

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._channel.abandon(self.id)


class AsyncStream(Generic[R]):
    """See `Stream`. Iterate over it with `async for`; then `await result()` has how it ended."""

    def __init__(self, sandbox: AsyncSandbox, call: Call[R]) -> None:
        self._reply: _Reply[R] = _Reply(sandbox, call.streamed())
        self._sandbox = sandbox
        self._call: Call[R] = call
        self._result: Optional[R] = None
        self._over = False

    @property
    def id(self) -> Union[str, int]:
        return self._reply.id

    def __aiter__(self) -> AsyncIterator[ProcessEvent]:
        return self

    async def __anext__(self) -> ProcessEvent:
        if self._over:
            raise StopAsyncIteration
        try:
            message = await self._reply.next()
            if _core.is_event(message):
                return _core.event(message)
            self._over = True
            self._result = _core.result(self._call, message)
        except BaseException:
            self.close()
            raise
        raise StopAsyncIteration

    async def result(self) -> R:
        """How it ended. Waits for that; events that were not taken are dropped then."""
        async for _ in self:
            pass
        if self._result is None:
            raise ClosedError("the stream was closed, or failed, and has no result")
        return self._result

    async def cancel(self) -> bool:
        return await self._sandbox.cancel(self.id)

    def close(self) -> None:
        if not self._over:
            self._over = True
            self._reply.abandon()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_over"):
            self.close()


class AsyncProcess:
    """See `Process`. Iterate over it with `async for`."""

    def __init__(self, sandbox: AsyncSandbox, process_id: str, pid: Optional[int] = None) -> None:
        self._sandbox = sandbox
        self.process_id = process_id
        self.pid = pid
        self._seen = 0

    def __repr__(self) -> str:
        return f"<AsyncProcess {self.process_id}, pid {self.pid}>"

    async def read(
        self, *, wait: float = 0, after_seq: Optional[int] = None, max_bytes: Optional[int] = None
    ) -> ProcessOutput:
        after = self._seen if after_seq is None else after_seq
        output = await self._sandbox._ask(_calls.process_read(self.process_id, after, max_bytes, wait))
        self._seen = output.last_seq
        return output

    async def __aiter__(self) -> AsyncIterator[ProcessEvent]:
        after, more = 0, True
        while more:
            output = await self._sandbox._ask(_calls.process_read(self.process_id, after, None, _sync.POLL_SECONDS))
            after, more = output.last_seq, output.more
            for event in output.events:
                yield event

    async def write(self, data: Data) -> int:
        return await self._sandbox._ask(_calls.process_write(self.process_id, data))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._sandbox.closed:
            try:
                await self.kill()
            except UnknownProcessError:
                pass  # It is gone already.

    async def close_stdin(self) -> None:
        await self._sandbox._ask(_calls.process_close_stdin(self.process_id))

    async def signal(self, signal: Union[str, int] = "SIGTERM", *, leader_only: bool = False) -> None:
        await self._sandbox._ask(_calls.process_signal(self.process_id, signal, leader_only))

    async def kill(self) -> None:
        await self.signal("SIGKILL")

    async def wait(self, timeout: Optional[float] = None) -> CommandResult:
        call = _calls.process_wait(self.process_id, _calls.milliseconds(timeout))
        result = await self._sandbox._ask(call)
        if result is None:
            raise still_running(self.process_id)
        return result

    async def poll(self) -> Optional[CommandResult]:
        return await self._sandbox._ask(_calls.process_wait(self.process_id, 1))

    async def resize(self, cols: int, rows: int) -> None:
        await self._sandbox._ask(_calls.process_resize(self.process_id, cols, rows))

    async def wait_log(self, pattern: str, timeout: Optional[float] = None) -> str:
        return await self._sandbox._ask(_calls.wait_log(self.process_id, pattern, timeout))


class AsyncSession:
    """See `Session`."""

    def __init__(self, sandbox: AsyncSandbox, name: str) -> None:
        self._sandbox = sandbox
        self.name = name

    async def run(
        self,
        command: str,
        *,
        on_stdout: OnText = None,
        on_stderr: OnText = None,
        **options: Unpack[CommandOptions],
    ) -> CommandResult:
        call = _calls.command(command, self.name, **options)
        return await self._sandbox._run(call, on_stdout, on_stderr)

    def stream(self, command: str, **options: Unpack[CommandOptions]) -> AsyncStream[CommandResult]:
        return AsyncStream(self._sandbox, _calls.command(command, self.name, **options))

    async def close(self) -> None:
        await self._sandbox._ask(_calls.session_close(self.name))


class AsyncContext:
    """See `Context`."""

    def __init__(self, sandbox: AsyncSandbox, name: str, language: Language) -> None:
        self._sandbox = sandbox
        self.name = name
        self.language = language

    async def run(
        self,
        code: str,
        *,
        on_stdout: OnText = None,
        on_stderr: OnText = None,
        **options: Unpack[CodeOptions],
    ) -> CodeResult:
        call = _calls.run_code(code, self.language, self.name, **options)
        return await self._sandbox._run(call, on_stdout, on_stderr)

    async def close(self) -> None:
        await self._sandbox._ask(_calls.session_close(self.name, self.language))


class AsyncWatch:
    """See `Watch`. Iterate over it with `async for`."""

    def __init__(self, sandbox: AsyncSandbox, reply: _Reply[str], watch_id: str) -> None:
        self._sandbox = sandbox
        self._reply = reply
        self.watch_id = watch_id
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[WatchEvent]:
        while not self._closed:
            try:
                event = await self.next()
            except ClosedError:
                return
            if event is not None:
                yield event

    async def next(self, timeout: Optional[float] = None) -> Optional[WatchEvent]:
        try:
            return build(WatchEvent, await self._reply.next_event(timeout))
        except asyncio.TimeoutError:
            return None

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._reply.abandon()
            self._reply._inbox.put_nowait(ClosedError("the watch is closed"))
            await self._sandbox._ask(_calls.unwatch(self.watch_id))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._sandbox.closed:
            await self.close()


class AsyncFiles:
    """See `Files`."""

    def __init__(self, sandbox: AsyncSandbox) -> None:
        self._ask = sandbox._ask
        self._sandbox = sandbox

    async def read_text(self, path: str, *, offset: Optional[int] = None, length: Optional[int] = None) -> str:
        return await self._ask(_calls.read_text(path, offset, length))

    async def read_bytes(self, path: str, *, offset: Optional[int] = None, length: Optional[int] = None) -> bytes:
        return await self._ask(_calls.read_bytes(path, offset, length))

    async def write(
        self,
        path: str,
        data: Data,
        *,
        mode: Optional[Mode] = None,
        create_parents: bool = False,
        atomic: Optional[bool] = None,
    ) -> int:
        return await self._ask(_calls.write_file(path, data, mode, False, create_parents, atomic))

    async def append(self, path: str, data: Data, *, mode: Optional[Mode] = None, create_parents: bool = False) -> int:
        return await self._ask(_calls.write_file(path, data, mode, True, create_parents, None))

    async def list(
        self, path: str, *, depth: Optional[int] = None, max_entries: Optional[int] = None
    ) -> DirectoryListing:
        return await self._ask(_calls.list_dir(path, depth, max_entries))

    async def stat(self, path: str, *, follow: bool = True) -> Entry:
        return await self._ask(_calls.stat(path, follow))

    async def exists(self, path: str) -> bool:
        return await self._ask(_calls.exists(path))

    async def mkdir(self, path: str, *, create_parents: bool = False, mode: Optional[Mode] = None) -> bool:
        return await self._ask(_calls.mkdir(path, create_parents, mode))

    async def remove(self, path: str, *, recursive: bool = False, missing_ok: bool = False) -> int:
        return await self._ask(_calls.remove(path, recursive, missing_ok))

    async def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        await self._ask(_calls.rename(source, target, overwrite))

    async def copy(self, source: str, target: str, *, recursive: bool = False, overwrite: bool = False) -> Copied:
        return await self._ask(_calls.copy(source, target, recursive, overwrite))

    async def symlink(self, path: str, target: str) -> None:
        await self._ask(_calls.symlink(path, target))

    async def chmod(self, path: str, mode: Mode) -> None:
        await self._ask(_calls.chmod(path, mode))

    async def find(
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
        return await self._ask(
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

    async def replace(
        self,
        paths: Union[str, Sequence[str]],
        old: str,
        new: str,
        *,
        regex: bool = False,
        expected_replacements: Optional[int] = None,
    ) -> Replaced:
        return await self._ask(_calls.replace(paths, old, new, regex, expected_replacements))

    async def watch(self, path: str, *, recursive: bool = False) -> AsyncWatch:
        reply = _Reply(self._sandbox, _calls.watch(path, recursive))
        return AsyncWatch(self._sandbox, reply, await reply.result())

    async def upload(
        self,
        path: str,
        source: Union[HostPath, bytes, None] = None,
        *,
        host_path: Optional[HostPath] = None,
        timeout: Optional[float] = None,
    ) -> Copied:
        # Reading and packing files takes its time, which the loop has not.
        call = await _in_thread(lambda: _calls.upload(path, source, host_path, timeout))
        return await self._ask(call)

    async def download(
        self,
        path: str,
        target: Optional[HostPath] = None,
        *,
        host_path: Optional[HostPath] = None,
        timeout: Optional[float] = None,
    ) -> Downloaded:
        result = await self._ask(_calls.download(path, host_path, timeout))
        if target is not None and result.archive is not None:
            archive, directory = result.archive, target
            await _in_thread(lambda: unpack(archive, directory))
        return result


class AsyncSandbox:
    """A machine of its own for asyncio, to be used with `async with`, or with `start` and `close`.

    Requests run side by side, unless `ordered=True` asks for the order in which they are sent. Cancelling a task
    cancels its request. Otherwise everything is as with `Sandbox`.
    """

    def __init__(
        self,
        program: Optional[HostPath] = None,
        *,
        ordered: bool = False,
        start_timeout: float = 600,
        stderr: Optional[TextIO] = None,
        **options: Unpack[ProgramOptions],
    ) -> None:
        """Starts nothing yet. For the options see `Sandbox`."""
        self._command = command_line(find_program(program), **options)
        self._stderr = sys.stderr if stderr is None and options.get("verbose") else stderr
        self._start_timeout = start_timeout
        self._client: Optional[Client] = None
        self._name: Optional[str] = None
        self._ordered = ordered
        self._closed = False

    #: Of a fork.
    _finalizer: weakref.finalize[..., AsyncSandbox]

    @classmethod
    def _fork(cls, client: Client, name: str, ordered: bool) -> AsyncSandbox:
        self = cls.__new__(cls)
        self._client, self._name, self._ordered, self._closed = client, name, ordered, False
        self._finalizer = weakref.finalize(self, client.channel.post, _calls.close(), name)
        self._finalizer.atexit = False
        return self

    async def start_program(self) -> None:
        """Starts the program; `async with` does it, too."""
        if self._client is not None:
            return
        client = await _in_thread(lambda: Client(self._command, self._stderr))
        self._client = client
        try:
            reply = _Reply(self, _calls.hello())
            try:
                hello = await asyncio.wait_for(reply.result(), self._start_timeout)
            except asyncio.TimeoutError:
                raise handshake_failure(client, self._start_timeout) from None
            client.channel.set_line_bytes(hello.limits.line_bytes)
        except BaseException:
            self._closed = True
            client.channel.kill()
            raise

    def __repr__(self) -> str:
        name = "" if self._name is None else f" {self._name}"
        return f"<{type(self).__name__}{name}{', closed' if self.closed else ''}>"

    async def __aenter__(self) -> Self:
        await self.start_program()
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.close()

    @property
    def _running(self) -> Client:
        if self._closed:
            raise ClosedError("the sandbox is closed")
        if self._client is None:
            raise SandboxError("the sandbox is not started: use `async with`, or await `start_program()`")
        return self._client

    @property
    def name(self) -> Optional[str]:
        return self._name

    @property
    def closed(self) -> bool:
        return self._closed or (self._client is not None and self._client.channel.over)

    @property
    def files(self) -> AsyncFiles:
        return AsyncFiles(self)

    async def close(self) -> None:
        if self._closed:
            return
        client = self._client
        if client is None or self._name is None:
            self._closed = True
            if client is not None:
                await _in_thread(client.close)
        elif not client.channel.over:
            self._finalizer.detach()
            try:
                await _Reply(self, _calls.close()).result()
            except ClosedError:
                pass  # Its program was closed in this moment.
            finally:
                self._closed = True

    async def _ask(self, call: Call[T]) -> T:
        return await _Reply(self, call).result()

    async def _run(self, call: Call[R], on_stdout: OnText, on_stderr: OnText) -> R:
        if on_stdout is None and on_stderr is None:
            return await self._ask(call)
        async with AsyncStream(self, call) as stream:
            async for event in stream:
                told: object = None
                if isinstance(event, Stdout) and on_stdout is not None:
                    told = on_stdout(event.data)
                elif isinstance(event, Stderr) and on_stderr is not None:
                    told = on_stderr(event.data)
                if inspect.isawaitable(told):
                    await told
            return await stream.result()

    async def run(
        self,
        command: str,
        *,
        on_stdout: OnText = None,
        on_stderr: OnText = None,
        **options: Unpack[CommandOptions],
    ) -> CommandResult:
        return await self._run(_calls.command(command, **options), on_stdout, on_stderr)

    async def exec(
        self,
        argv: Sequence[str],
        *,
        on_stdout: OnText = None,
        on_stderr: OnText = None,
        **options: Unpack[CommandOptions],
    ) -> CommandResult:
        return await self._run(_calls.command(not_text(argv), **options), on_stdout, on_stderr)

    def stream(self, command: Command, **options: Unpack[CommandOptions]) -> AsyncStream[CommandResult]:
        return AsyncStream(self, _calls.command(command, **options))

    async def start(self, command: Command, **options: Unpack[StartOptions]) -> AsyncProcess:
        return AsyncProcess(self, *await self._ask(_calls.start(command, **options)))

    def process(self, process_id: str) -> AsyncProcess:
        return AsyncProcess(self, process_id)

    async def processes(self) -> Tuple[ProcessInfo, ...]:
        return await self._ask(_calls.process_list())

    async def run_code(
        self,
        code: str,
        language: Language = "python",
        *,
        context: Optional[str] = None,
        on_stdout: OnText = None,
        on_stderr: OnText = None,
        **options: Unpack[CodeOptions],
    ) -> CodeResult:
        return await self._run(_calls.run_code(code, language, context, **options), on_stdout, on_stderr)

    def stream_code(
        self,
        code: str,
        language: Language = "python",
        *,
        context: Optional[str] = None,
        **options: Unpack[CodeOptions],
    ) -> AsyncStream[CodeResult]:
        return AsyncStream(self, _calls.run_code(code, language, context, **options))

    def session(self, name: str) -> AsyncSession:
        return AsyncSession(self, name)

    def context(self, name: str = "default", language: Language = "python") -> AsyncContext:
        return AsyncContext(self, name, language)

    async def sessions(self) -> Tuple[SessionInfo, ...]:
        return await self._ask(_calls.session_list())

    async def wait_port(self, port: int, timeout: Optional[float] = None) -> None:
        await self._ask(_calls.wait_port(port, timeout))

    async def cancel(self, request_id: Union[str, int]) -> bool:
        return await self._ask(_calls.cancel(request_id))

    async def hello(self) -> Hello:
        return await self._ask(_calls.hello())

    async def status(self) -> Status:
        return await self._ask(_calls.status())

    async def reset(self) -> None:
        await self._ask(_calls.reset())

    async def checkpoint(self, name: str) -> None:
        await self._ask(_calls.checkpoint(name))

    async def restore(self, name: str) -> None:
        await self._ask(_calls.restore(name))

    async def delete_checkpoint(self, name: str) -> None:
        await self._ask(_calls.checkpoint_delete(name))

    async def fork(self, name: Optional[str] = None) -> AsyncSandbox:
        return AsyncSandbox._fork(self._running, await self._ask(_calls.fork(name)), self._ordered)

    async def save(self, path: HostPath) -> Saved:
        return await self._ask(_calls.save(path))


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, work)


def _inherit_docstrings() -> None:
    """What is the same in both clients is described once."""
    pairs: Tuple[Tuple[Any, Any], ...] = (
        (AsyncStream, _sync.Stream),
        (AsyncProcess, _sync.Process),
        (AsyncSession, _sync.Session),
        (AsyncContext, _sync.Context),
        (AsyncWatch, _sync.Watch),
        (AsyncFiles, _sync.Files),
        (AsyncSandbox, _sync.Sandbox),
    )
    for mine, theirs in pairs:
        for name, member in vars(mine).items():
            if not name.startswith("_") and not member.__doc__:
                member.__doc__ = getattr(theirs, name).__doc__


_inherit_docstrings()
