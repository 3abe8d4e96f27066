"""The running program: its pipes, the threads at them, and its end."""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import threading
import weakref
from typing import IO, Any, Optional, Sequence, TextIO

from . import _calls
from ._calls import Call
from ._core import Core, RequestId, Sink, is_event
from ._errors import ClosedError, ProgramDiedError, ProgramNotFoundError, ProtocolError, SandboxError

log = logging.getLogger("wasm_sandbox")

#: How long an ending program is waited for before it is killed, in seconds.
_PATIENCE = 5
_READ = 1 << 20
_KEPT_STDERR = 1 << 14


class Channel:
    """A program with its pipes.

    One thread writes, one reads, one keeps what comes on standard error. Threads and not asyncio, for
    `AsyncSandbox` too: so it is the same code for both, and works in every event loop. Lines are written by a
    thread of their own because whoever sends must not wait for a program that itself waits for somebody to
    read, and because `__del__` must be able to send.
    """

    def __init__(self, command: Sequence[str], stderr: Optional[TextIO]) -> None:
        self._core = Core()
        self._lines: queue.SimpleQueue[Optional[bytes]] = queue.SimpleQueue()
        self._copy_stderr = stderr
        self._stderr = b""
        self._owner = os.getpid()
        try:
            # In a session of its own, so that Ctrl-C ends a request, as an exception here, and not the sandbox.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise ProgramNotFoundError(f"{command[0]} cannot be run: {error.strerror}") from error
        stdin, stdout, errors = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin is not None
        assert stdout is not None
        assert errors is not None
        self._stderr_thread = self._thread("stderr", self._keep_stderr, errors)
        # The one that reads waits for the one with the errors, which must have been started by then.
        self._threads = [
            self._stderr_thread,
            self._thread("write", self._write, stdin),
            self._thread("read", self._read, stdout),
        ]
        for thread in self._threads:
            thread.start()

    def _thread(self, name: str, target: Any, pipe: IO[bytes]) -> threading.Thread:
        # Daemons: a program that nobody closed is ended at exit, see `Client`.
        return threading.Thread(target=target, args=(pipe,), name=f"wasm-sandbox-{name}", daemon=True)

    @property
    def pid(self) -> int:
        """The program's process identifier."""
        return self._process.pid

    def set_line_bytes(self, line_bytes: int) -> None:
        """How long a line may be."""
        self._core.line_bytes = line_bytes

    @property
    def over(self) -> bool:
        """Whether the program has ended, or is ending."""
        return self._core.over

    def send(
        self, call: Call[Any], sink: Sink, *, sandbox: Optional[str] = None, concurrent: bool = False
    ) -> RequestId:
        """Sends a request. Its events and its answer go to `sink`, on another thread."""
        request_id, line = self._core.request(call, sink, sandbox=sandbox, concurrent=concurrent)
        self._lines.put(line)
        return request_id

    def post(self, call: Call[Any], sandbox: Optional[str] = None) -> None:
        """Sends a request whose answer nobody waits for. Never raises."""
        if not self._core.over and os.getpid() == self._owner:
            try:
                self.send(call, _unheard, sandbox=sandbox, concurrent=True)
            except SandboxError:
                pass  # It ended in this moment, and with it what was to be ended.

    def abandon(self, request_id: RequestId) -> None:
        """Nobody waits for a request any more: it is cancelled if it is under way."""
        if self._core.abandon(request_id):
            self.post(_calls.cancel(request_id))

    def close(self) -> None:
        """Ends the program, and waits for that. Whoever waits for an answer gets `ClosedError`."""
        waited_for = self._core.fail(lambda: ClosedError("the sandbox is closed"))
        if os.getpid() != self._owner:
            return  # A fork of the Python process: the program is its parent's.
        self._lines.put(None)
        # At the end of its input it first answers what was asked for. Nobody wants that any more.
        if waited_for:
            self._process.kill()
        self._reap()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_PATIENCE)

    def kill(self) -> None:
        """Ends the program at once."""
        if os.getpid() == self._owner:
            self._core.fail(lambda: ClosedError("the sandbox is closed"))
            self._lines.put(None)
            self._process.kill()
            self._reap()

    def _reap(self) -> int:
        try:
            return self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _write(self, pipe: IO[bytes]) -> None:
        try:
            with pipe:
                while True:
                    line = self._lines.get()
                    if line is None:
                        return
                    view = memoryview(line)
                    while view:
                        view = view[pipe.write(view) :]
        except OSError:
            # It reads no more, so it is of no use. The thread that reads says why.
            if not self._core.over:
                self._reap()

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            try:
                while True:
                    data = pipe.read(_READ)
                    if not data:
                        break
                    self._core.feed(data)
                self._died()
            except SandboxError as error:
                self._process.kill()
                message = str(error)
                self._core.fail(lambda: ProtocolError(message))
            except Exception as error:  # Whatever it is, those who wait must hear of it.
                self._process.kill()
                message = f"cannot go on: {error!r}"
                self._core.fail(lambda: SandboxError(message))
                raise
        self._lines.put(None)
        self._reap()

    def _died(self) -> None:
        if self._core.over:
            return
        exit_code = self._reap()
        self._stderr_thread.join(_PATIENCE)
        said = self.said
        how = f"exit code {exit_code}" if exit_code >= 0 else f"signal {-exit_code}"
        message = f"the program ended ({how})" + (f": {said}" if said else "")
        self._core.fail(lambda: ProgramDiedError(message, exit_code, said))

    @property
    def said(self) -> str:
        """The last of what the program wrote to standard error."""
        return self._stderr.decode("utf-8", "replace").strip()

    def _keep_stderr(self, pipe: IO[bytes]) -> None:
        with pipe:
            while True:
                data = pipe.read(_READ)
                if not data:
                    return
                self._stderr = (self._stderr + data)[-_KEPT_STDERR:]
                if self._copy_stderr is not None:
                    try:
                        self._copy_stderr.write(data.decode("utf-8", "replace"))
                        self._copy_stderr.flush()
                    except (OSError, ValueError):
                        self._copy_stderr = None  # Closed. The program must not block on its pipe for that.


def _unheard(_: object) -> None:
    pass


class Client:
    """What sandboxes of one program share. When the last of them is gone, or Python ends, so does the program.

    The threads know the channel and not the client; otherwise it would never be garbage.
    """

    def __init__(self, command: Sequence[str], stderr: Optional[TextIO]) -> None:
        self.channel = Channel(command, stderr)
        self._finalizer = weakref.finalize(self, Channel.kill, self.channel)

    def close(self) -> None:
        """Ends the program."""
        self._finalizer.detach()
        self.channel.close()


def note_restart(answer: Any) -> None:
    """Says aloud that a machine was lost, since results that are plain values cannot."""
    if answer.get("restarted") and not is_event(answer):
        log.warning("the machine went down and was started afresh: files and processes are the initial ones")


def handshake_failure(client: Client, seconds: float) -> SandboxError:
    """For a program that does not answer."""
    said = client.channel.said
    return ProtocolError(f"the program did not answer within {seconds:g} seconds" + (f": {said}" if said else ""))
