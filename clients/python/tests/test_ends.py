"""All the ways in which a program can end, and programs that are none."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable

import pytest

import wasm_sandbox as w
from wasm_sandbox import AsyncSandbox, Sandbox, find_program

Fake = Callable[[str], str]

HELLO = """
import json, sys
hello = json.loads(sys.stdin.readline())
limits = dict.fromkeys(
    ["memory_bytes", "disk_bytes", "output_bytes", "open_processes", "line_bytes", "backlog_bytes", "unread_bytes",
     "time_limit_ms", "sandboxes"], 1 << 30)
print(json.dumps({"type": "hello", "id": hello["id"], "success": True, "version": "0", "protocol_version": 1,
    "engine": "", "image": "", "arch": "", "requests": [], "capabilities": [], "limits": limits}), flush=True)
"""


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    """Makes a program of Python code."""

    def make(code: str) -> str:
        path = tmp_path / "fake"
        path.write_text(f"#!{sys.executable}\n{textwrap.dedent(code)}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return make


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_the_program_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    with pytest.raises(w.ProgramNotFoundError, match="argument"):
        Sandbox(tmp_path / "nowhere")
    with pytest.raises(w.ProgramNotFoundError, match="argument"):
        Sandbox(tmp_path)
    monkeypatch.setenv("WASM_SANDBOX", str(tmp_path / "nowhere"))
    with pytest.raises(w.ProgramNotFoundError, match="WASM_SANDBOX"):
        AsyncSandbox()
    assert find_program(program) == program
    monkeypatch.delenv("WASM_SANDBOX")
    (tmp_path / "wasm-sandbox").symlink_to(program)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_program() == str(tmp_path / "wasm-sandbox")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(w._program, "NAME", "no-such-program")
    with pytest.raises(w.ProgramNotFoundError, match="target/release"):
        find_program()


def test_a_program_that_cannot_be_run(tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_bytes(b"\x7fELF and nothing more")
    path.chmod(0o755)
    with pytest.raises(w.ProgramNotFoundError, match="cannot be run"):
        Sandbox(path)


def test_a_program_that_ends_at_once(fake: Fake) -> None:
    path = fake("import sys; sys.exit('oh no')")
    with pytest.raises(w.ProgramDiedError, match=r"exit code 1.*oh no") as caught:
        Sandbox(path)
    assert (caught.value.exit_code, caught.value.stderr) == (1, "oh no")

    async def main() -> None:
        with pytest.raises(w.ProgramDiedError, match="oh no"):
            async with AsyncSandbox(path):
                pass

    asyncio.run(main())


def test_options_it_does_not_know() -> None:
    with pytest.raises(w.ProgramDiedError, match="--fly"):
        Sandbox(arguments=["--fly"])


def test_a_program_that_says_nothing(fake: Fake) -> None:
    path = fake("import sys; print('thinking', file=sys.stderr, flush=True); sys.stdin.read()")
    with pytest.raises(w.ProtocolError, match="did not answer"):
        Sandbox(path, start_timeout=0.5)

    async def main() -> None:
        with pytest.raises(w.ProtocolError, match="did not answer"):
            async with AsyncSandbox(path, start_timeout=0.5):
                pass

    asyncio.run(main())


@pytest.mark.parametrize("what", ["'Welcome!'", "'{}'", "sys.stdin.readline()", "'[' * 100000"])
def test_a_program_that_talks_nonsense(fake: Fake, what: str) -> None:
    with pytest.raises(w.ProtocolError):
        Sandbox(fake(f"import sys; print({what}, flush=True); sys.stdin.read()"))


def test_garbage_in_the_middle(fake: Fake) -> None:
    path = fake(HELLO + "sys.stdin.readline(); print('garbage', flush=True); sys.stdin.read()")
    with Sandbox(path) as s, pytest.raises(w.ProtocolError, match="garbage"):
        s.run("true")
    assert s.closed


def test_it_stops_reading(fake: Fake) -> None:
    path = fake(HELLO + "import os, time; os.close(0); time.sleep(1000)")
    # It has closed one end, and keeps the other: no answer will ever come.
    with Sandbox(path) as s, pytest.raises(w.SandboxError):
        s.files.write("/a", "x" * 1_000_000)


@pytest.mark.parametrize("waiting", [1, 20])
def test_it_dies(waiting: int) -> None:
    with Sandbox() as s, ThreadPoolExecutor(waiting) as pool:
        results = [pool.submit(s.run, "sleep 1000", timeout=1001) for _ in range(waiting)]
        while not s.processes():
            pass
        os.kill(s._client.channel.pid, signal.SIGKILL)
        for result in results:
            with pytest.raises(w.ProgramDiedError, match="signal 9"):
                result.result()
        with pytest.raises(w.ProgramDiedError):
            s.run("true")
        assert s.closed


def test_it_dies_with_asyncio() -> None:
    async def main() -> None:
        async with AsyncSandbox() as s:
            task = asyncio.ensure_future(s.run("sleep 1000", timeout=1001))
            stream = s.stream("sleep 1000", timeout=1001)
            await asyncio.sleep(0)
            os.kill(s._running.channel.pid, signal.SIGKILL)
            with pytest.raises(w.ProgramDiedError):
                await task
            with pytest.raises(w.ProgramDiedError):
                await stream.result()

    asyncio.run(main())


def test_closing_while_requests_wait() -> None:
    s = Sandbox(ordered=False)
    twin = s.fork()
    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(one.run, "sleep 1000", timeout=1001) for one in (s, twin)]
        while not (s.processes() and twin.processes()):
            pass
        s.close()
        for result in results:
            with pytest.raises(w.ClosedError):
                result.result()
    for one in (s, twin):
        with pytest.raises(w.ClosedError):
            one.run("true")
        one.close()
    assert gone(s._client.channel.pid)


def test_closing_a_fork_while_its_requests_wait() -> None:
    with Sandbox(ordered=False) as s, ThreadPoolExecutor(1) as pool:
        twin = s.fork()
        result = pool.submit(twin.run, "sleep 1000", timeout=1001)
        while not twin.processes():
            pass
        twin.close()
        with pytest.raises(w.RequestCancelledError):
            result.result()
        assert s.run("echo hi").stdout == "hi\n"


def test_garbage_collection_ends_it() -> None:
    s = Sandbox()
    twin = s.fork()
    process = s._client.channel._process
    del s
    gc.collect()
    # The fork is in use, and needs the program.
    assert twin.run("echo hi").stdout == "hi\n"
    del twin
    gc.collect()
    assert process.wait(60) == -signal.SIGKILL


def test_the_end_of_python_ends_it() -> None:
    code = "from wasm_sandbox import Sandbox; s = Sandbox(); print(s._client.channel.pid)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert gone(int(done.stdout))


def test_a_forked_python_leaves_it_alone() -> None:
    code = """
import os
from wasm_sandbox import Sandbox
s = Sandbox()
if os.fork() == 0:
    s.close()
    raise SystemExit
os.wait()
print(s.run("echo hi").stdout)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True, timeout=300
    )
    assert done.stdout == "hi\n\n"


def test_ctrl_c_ends_the_request_and_not_the_sandbox() -> None:
    with Sandbox() as s:

        def interrupt() -> None:
            while not s.processes():
                pass
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            s.run("sleep 1000", timeout=1001)
        thread.join()
        assert s.run("echo hi").stdout == "hi\n"


def test_a_machine_that_crashes(caplog: pytest.LogCaptureFixture) -> None:
    with Sandbox() as s:
        s.run("touch /tmp/file")
        with pytest.raises(w.MachineCrashedError):
            s.run("busybox reboot -f; sleep 1000", timeout=1001)
        r = s.run("ls /tmp/file", timeout=300)
        assert r.restarted
        assert not r.ok
        assert "started afresh" in caplog.text
        assert s.status().restarts == 1


def test_what_it_says_can_be_seen(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    path = fake(HELLO + "print('for people', file=sys.stderr, flush=True); sys.stdin.read()")
    with Sandbox(path, stderr=sys.stderr):
        pass
    assert capsys.readouterr().err == "for people\n"
