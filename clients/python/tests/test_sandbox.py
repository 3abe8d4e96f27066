"""Every request, through `Sandbox`, against the real program."""

from __future__ import annotations

import io
import os
import signal
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import wasm_sandbox as w
from wasm_sandbox import Sandbox

LONG = 300.0


def test_hello_and_status(s: Sandbox) -> None:
    hello = s.hello()
    assert hello.protocol_version == 1
    assert {"shell", "fork", "hello"} <= set(hello.requests)
    assert "async" in hello.capabilities
    status = s.status()
    assert status.ready
    assert status.version == hello.version
    assert status.limits.line_bytes == hello.limits.line_bytes > 1 << 20
    assert status.memory_limit_bytes == 256 << 20


def test_every_request_of_the_program_is_in_the_client(s: Sandbox) -> None:
    from wasm_sandbox import _calls

    source = Path(_calls.__file__).read_text(encoding="utf-8")
    missing = [request for request in s.hello().requests if f'"{request}"' not in source]
    assert missing == []


def test_run(s: Sandbox) -> None:
    r = s.run("echo out; echo err >&2; exit 3")
    assert (r.stdout, r.stderr, r.exit_code, r.signal, r.timed_out) == ("out\n", "err\n", 3, None, False)
    assert not r.ok
    with pytest.raises(w.CommandError, match=r"exit code 3: err") as caught:
        r.check()
    assert caught.value.result is r
    assert s.run("true").check().ok


def test_run_has_options(s: Sandbox) -> None:
    r = s.run("cat; pwd; echo $A; id -un", stdin="in\n", cwd="/tmp", env={"A": "b"}, user="nobody")
    assert r.stdout == "in\n/tmp\nb\nnobody\n"
    assert s.exec(["/usr/bin/env"], clear_env=True, env={"ONLY": "this"}).stdout == "ONLY=this\n"
    assert s.run("stty size", pty=(70, 20)).stdout == "20 70\r\n"
    r = s.run("yes | head -c 1000", max_output_bytes=100)
    assert r.stdout_truncated
    assert r.stdout_truncated_bytes == 1000 - 100
    r = s.run("while :; do :; done", cpu_timeout=0.2, timeout=LONG)
    assert r.signal is not None
    with pytest.raises(TypeError, match="timeuot"):
        s.run("true", timeuot=1)  # type: ignore[call-arg]


def test_a_time_limit_is_a_result(s: Sandbox) -> None:
    r = s.run("echo begun; sleep 1000", timeout=1)
    assert r.timed_out
    assert r.signal == "SIGKILL"
    with pytest.raises(w.CommandError, match="too long"):
        r.check()
    with pytest.raises(w.InvalidRequestError, match="time_limit_ms"):
        s.run("true", timeout=0)


def test_exec_has_no_shell(s: Sandbox) -> None:
    assert s.exec(["printf", "%s|", "a b", "$HOME", "*"]).stdout == "a b|$HOME|*|"
    with pytest.raises(TypeError, match="run"):
        s.exec("ls -l")


def test_bytes_go_through(s: Sandbox) -> None:
    every = bytes(range(256))
    r = s.exec(["cat"], stdin=every)
    assert r.stdout_bytes == every
    assert "\ufffd" in r.stdout
    r = s.run("printf 'h\\303\\244'; printf '\\377' >&2")
    assert (r.stdout, r.stdout_bytes, r.stderr_bytes) == ("hä", "hä".encode(), b"\xff")
    # Line ends of all kinds, and what looks like one.
    text = "a\r\nb\rc\u2028d\x85e\x00f\U0001f600\n"
    assert s.exec(["cat"], stdin=text).stdout == text
    with pytest.raises(ValueError, match="surrogates"):
        s.run("cat", stdin="\udcff")
    assert s.run("echo still there").stdout == "still there\n"


def test_very_large_output(s: Sandbox) -> None:
    size = 8 << 20
    r = s.run(f"head -c {size} /dev/zero | tr '\\0' x", timeout=LONG)
    assert len(r.stdout) == size
    assert set(r.stdout) == {"x"}
    r = s.run(f"head -c {size} /dev/zero", timeout=LONG)
    assert r.stdout_bytes == bytes(size)


def test_a_request_that_is_too_large_is_refused_here(s: Sandbox) -> None:
    channel = s._client.channel
    limit = s.hello().limits.line_bytes
    channel.set_line_bytes(1000)
    try:
        with pytest.raises(w.TooLargeError, match="1000"):
            s.files.write("/tmp/x", "x" * 1000)
    finally:
        channel.set_line_bytes(limit)
    s.status()


def test_stream(s: Sandbox) -> None:
    stream = s.stream("echo out; exit 4")
    events = list(stream)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[0], w.Started)
    assert events[0].pid > 0
    assert "".join(event.data for event in events if isinstance(event, w.Stdout)) == "out\n"
    last = events[-1]
    assert isinstance(last, w.Exited)
    assert last.exit_code == 4
    assert stream.result.exit_code == 4
    assert list(stream) == []


def test_stream_has_bytes_and_order(s: Sandbox) -> None:
    stream = s.stream(["bash", "-c", "for i in {1..300}; do echo $i; done; printf '\\377' >&2"], timeout=LONG)
    out, err = b"", b""
    for event in stream:
        if isinstance(event, w.Stdout):
            out += event.bytes
        elif isinstance(event, w.Stderr):
            err += event.bytes
    assert out.decode().split() == [str(i) for i in range(1, 301)]
    assert err == b"\xff"


def test_the_result_of_a_stream_needs_no_iteration(s: Sandbox) -> None:
    assert s.stream("echo hi").result.stdout == "hi\n"


def test_while_streaming_other_requests_go_on() -> None:
    with Sandbox(ordered=False) as s:
        stream = s.stream("echo begun; read x < /tmp/go", timeout=LONG)
        for event in stream:
            if isinstance(event, w.Started):
                assert s.run("[ -e /tmp/go ] || mkfifo /tmp/go; sleep 0").ok
                # The command may have come first and failed to open it; both ways it ends.
                s.run("timeout 1 bash -c 'echo > /tmp/go'")
        assert stream.result.stdout == "begun\n"


def test_a_stream_that_is_left_is_cancelled(s: Sandbox) -> None:
    with s.stream("echo begun; sleep 1000", timeout=1001) as stream:
        for event in stream:
            if isinstance(event, w.Stdout):
                break
    # In order, so this would wait for it.
    assert s.run("echo next").stdout == "next\n"
    with pytest.raises(w.ClosedError):
        _ = stream.result
    for event in s.stream("echo begun; sleep 1000", timeout=1001):
        if isinstance(event, w.Stdout):
            break
    assert s.run("echo next").stdout == "next\n"


def test_a_stream_can_be_cancelled(s: Sandbox) -> None:
    stream = s.stream("echo begun; sleep 1000", timeout=1001)
    assert isinstance(next(stream), w.Started)
    assert stream.cancel()
    with pytest.raises(w.RequestCancelledError):
        list(stream)


def test_callbacks(s: Sandbox) -> None:
    out: list[str] = []
    err: list[str] = []
    r = s.run("echo out; echo err >&2", on_stdout=out.append, on_stderr=err.append)
    assert "".join(out) == r.stdout == "out\n"
    assert "".join(err) == r.stderr == "err\n"

    def fails(_: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        s.run("echo out; sleep 1000", timeout=1001, on_stdout=fails)
    assert s.run("echo next").stdout == "next\n"


def test_background_process(s: Sandbox) -> None:
    p = s.start("cat; exit 5", open_stdin=True)
    assert p.poll() is None
    with pytest.raises(w.TimedOutError):
        p.wait(timeout=0.001)
    assert p.write("hello\n") == 6
    assert p.wait_log("^hel+o$", timeout=LONG) == "hello"
    assert p.write(b"\xff\n") == 2
    (info,) = s.processes()
    assert (info.process_id, info.running, info.background, info.pid) == (p.process_id, True, True, p.pid)
    p.close_stdin()
    r = p.wait()
    assert (r.stdout_bytes, r.exit_code) == (b"hello\n\xff\n", 5)
    assert p.poll() == r
    events = list(p)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert b"".join(event.bytes for event in events if isinstance(event, w.Stdout)) == b"hello\n\xff\n"
    assert isinstance(events[-1], w.Exited)
    assert events[-1].process_id == p.process_id
    assert s.process(p.process_id).wait() == r


def test_reading_goes_on_where_it_was(s: Sandbox) -> None:
    p = s.start(["bash", "-c", "while read line; do echo got $line; done"], open_stdin=True)
    seen, output = "", p.read(wait=LONG)
    assert isinstance(output.events[0], w.Started)
    for line in ("one", "two"):
        p.write(line + "\n")
        while f"got {line}\n" not in seen:
            output = p.read(wait=LONG)
            assert output.more
            seen += output.stdout
    assert seen == "got one\ngot two\n"
    assert p.read(after_seq=0).events[0].seq == 1
    p.kill()
    assert p.wait().signal == "SIGKILL"


def test_signals_and_terminals(s: Sandbox) -> None:
    p = s.start("trap 'echo caught; exit 9' USR1; echo ready; while :; do sleep 0.1; done")
    p.wait_log("ready", timeout=LONG)
    p.signal(signal.SIGUSR1, leader_only=True)
    r = p.wait()
    assert (r.stdout, r.exit_code) == ("ready\ncaught\n", 9)
    p = s.start("trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.1; done", pty=(80, 24))
    p.wait_log("ready", timeout=LONG)
    p.resize(100, 40)
    assert "40 100" in p.wait().stdout
    with s.start("sleep 1000") as p:
        pass
    assert p.wait().signal == "SIGKILL"
    with s.start("true") as p:
        p.wait()
    with pytest.raises(w.UnknownProcessError):
        s.process("nobody").wait()
    with s.start("sleep 1000") as p, pytest.raises(w.StdinClosedError):
        p.write("x")


def test_wait_port(s: Sandbox) -> None:
    with s.start("python3 -m http.server 8000"):
        s.wait_port(8000, timeout=LONG)
    with pytest.raises(w.TimedOutError):
        s.wait_port(8001, timeout=0.001)


def test_waiting_holds_nobody_up(s: Sandbox) -> None:
    p = s.start("cat", open_stdin=True)
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(p.wait)
        assert s.run("echo meanwhile").stdout == "meanwhile\n"
        p.close_stdin()
        assert waiting.result().exit_code == 0


def test_sessions(s: Sandbox) -> None:
    shell = s.session("work")
    shell.run("cd /tmp; X=1")
    out: list[str] = []
    assert shell.run("echo $PWD $X", on_stdout=out.append).stdout == "/tmp 1\n"
    assert "".join(out) == "/tmp 1\n"
    assert shell.stream("echo streamed").result.stdout == "streamed\n"
    assert [info.session for info in s.sessions()] == ["work"]
    shell.close()
    assert s.sessions() == ()
    assert shell.run("exit 3").session_ended
    with pytest.raises(w.UnknownSessionError):
        shell.close()


def test_code(s: Sandbox) -> None:
    r = s.run_code("x = 20\nprint('hi')\nx + 1", timeout=LONG)
    assert (r.stdout, r.result, r.exception, r.ok) == ("hi\n", "21", None, True)
    r = s.run_code("x / 0")
    assert r.exception is not None
    assert (r.exception.name, r.exit_code) == ("ZeroDivisionError", 1)
    out: list[str] = []
    s.run_code("print(x)", on_stdout=out.append)
    assert "".join(out) == "20\n"
    assert s.stream_code("x").result.result == "20"
    other = s.context("other", "bash")
    assert other.run("y=5; echo $y", timeout=LONG).stdout == "5\n"
    assert {(info.session, info.language) for info in s.sessions()} == {("default", "python"), ("other", "bash")}
    other.close()


def test_files(s: Sandbox) -> None:
    assert s.files.write("/tmp/a", "hä\n") == 4
    assert s.files.read_text("/tmp/a") == "hä\n"
    every = bytes(range(256))
    assert s.files.write("/tmp/b", bytearray(every), mode=0o600) == 256
    assert s.files.read_bytes("/tmp/b") == every
    assert s.run("stat -c %a /tmp/b").stdout == "600\n"
    with pytest.raises(w.NotUtf8Error):
        s.files.read_text("/tmp/b")
    with pytest.raises(w.NotFoundError) as caught:
        s.files.read_text("/nowhere")
    assert caught.value.error_code == "not_found"
    assert caught.value.request == "read_file"
    with pytest.raises(w.InvalidRequestError, match="absolute"):
        s.files.read_text("tmp")
    with pytest.raises(w.FileKindError):
        s.files.read_text("/tmp")
    large = os.urandom(4 << 20)
    s.files.write("/tmp/large", large)
    assert s.files.read_bytes("/tmp/large") == large


def test_parts_of_files(s: Sandbox) -> None:
    s.files.mkdir("/proj")
    s.files.append("/proj/deep/log", "one\n", create_parents=True)
    assert s.files.append("/proj/deep/log", "two\n") == 4
    assert s.files.read_text("/proj/deep/log", offset=4) == "two\n"
    assert s.files.read_bytes("/proj/deep/log", offset=2, length=3) == b"e\nt"


def test_directories(s: Sandbox) -> None:
    files = s.files
    assert files.mkdir("/proj/src", create_parents=True, mode=0o750)
    assert not files.mkdir("/proj/src", create_parents=True)
    with pytest.raises(w.AlreadyExistsError):
        files.mkdir("/proj/src")
    files.write("/proj/src/a", "a")
    files.symlink("/proj/link", "src/a")
    files.chmod("/proj/src/a", 0o755)
    entry = files.stat("/proj/src/a")
    assert (entry.name, entry.type, entry.size, entry.mode, entry.owner) == ("a", "file", 1, "0755", "root")
    assert files.stat("/proj/link").type == "file"
    assert files.stat("/proj/link", follow=False).symlink_target == "src/a"
    assert [entry.path for entry in files.list("/proj", depth=2)] == ["/proj/link", "/proj/src", "/proj/src/a"]
    listing = files.list("/proj", max_entries=1)
    assert (len(listing), listing.truncated) == (1, True)
    assert files.copy("/proj/src", "/proj/copy", recursive=True).size == 1
    files.rename("/proj/copy/a", "/proj/copy/b")
    assert files.exists("/proj/copy/b")
    assert not files.exists("/proj/copy/a")
    with pytest.raises(w.NotEmptyError):
        files.remove("/proj/copy")
    assert files.remove("/proj/copy", recursive=True) == 2
    assert files.remove("/proj/copy", missing_ok=True) == 0


def test_find_and_replace(s: Sandbox) -> None:
    s.files.mkdir("/proj")
    s.files.write("/proj/a.py", "one\nold\n")
    s.files.write("/proj/b.txt", "old\n")
    (match,) = s.files.find("/proj", "*.py", entry_type="file")
    assert match.path == "/proj/a.py"
    lines = [(match.path, match.line_number) for match in s.files.find("/proj", content="^old$")]
    assert lines == [("/proj/a.py", 2), ("/proj/b.txt", 1)]
    paths = ["/proj/a.py", "/proj/b.txt"]
    with pytest.raises(w.MismatchError):
        s.files.replace(paths, "old", "new", expected_replacements=5)
    replaced = s.files.replace(paths, "old", "new")
    assert (replaced.replacements, [file.path for file in replaced.files]) == (2, paths)
    s.files.replace("/proj/a.py", "(o)(ne)", "$2$1", regex=True)
    assert s.files.read_text("/proj/a.py") == "neo\nnew\n"


def test_watch(s: Sandbox) -> None:
    s.files.mkdir("/proj")
    with s.files.watch("/proj", recursive=True) as watch:
        s.run("mkdir /proj/new")
        event = watch.next(LONG)
        assert event is not None
        assert (event.event, event.path, event.directory, event.seq) == ("created", "/proj/new", True, 1)
        s.run("rmdir /proj/new")
        assert [event.event for _, event in zip(range(1), watch)] == ["deleted"]
        assert watch.next(0) is None
    assert list(watch) == []


def test_upload_and_download(s: Sandbox, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "dir").mkdir(parents=True)
    (source / "dir" / "file").write_bytes(b"\x00\xff")
    (source / "link").symlink_to("dir/file")
    assert s.files.upload("/proj", source).size == 2
    assert s.files.read_bytes("/proj/link") == b"\x00\xff"
    downloaded = s.files.download("/proj", tmp_path / "target")
    assert downloaded.size == 2
    assert (tmp_path / "target" / "dir" / "file").read_bytes() == b"\x00\xff"
    archive = s.files.download("/proj/dir/file").archive
    assert archive is not None
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        assert [os.path.basename(name) for name in members.getnames()] == ["file"]
    s.files.upload("/again", archive)
    assert s.files.list("/again").entries[0].size == 2
    with pytest.raises(w.HostError):
        s.files.upload("/proj", host_path=source)
    with pytest.raises(w.InvalidRequestError, match="either"):
        s.files.upload("/proj")


def test_what_comes_out_stays_where_it_belongs(s: Sandbox, tmp_path: Path) -> None:
    s.run("mkdir /evil; ln -s /etc /evil/out")
    s.files.download("/evil")
    with pytest.raises(w.SandboxError, match="not to be put on the host"):
        s.files.download("/evil", tmp_path / "target")
    assert not (tmp_path / "target" / "out").exists()


def test_checkpoints(s: Sandbox) -> None:
    s.run("echo kept > /tmp/file")
    s.checkpoint("good")
    assert [info.name for info in s.status().checkpoints] == ["good"]
    for _ in range(2):
        s.run("rm /tmp/file")
        s.restore("good")
        assert s.run("cat /tmp/file").stdout == "kept\n"
    s.reset()
    assert not s.run("cat /tmp/file").ok
    s.delete_checkpoint("good")
    with pytest.raises(w.UnknownCheckpointError):
        s.restore("good")


def test_forks(s: Sandbox) -> None:
    s.run("echo before > /tmp/file")
    with s.fork("twin") as twin, s.fork() as other:
        assert twin.name == "twin"
        assert other.name not in (None, "twin")
        twin.run("echo twin > /tmp/file")
        assert twin.files.read_text("/tmp/file") == "twin\n"
        assert [one.run("cat /tmp/file").stdout for one in (s, other)] == ["before\n"] * 2
        with twin.fork() as grandchild:
            assert grandchild.run("cat /tmp/file").stdout == "twin\n"
        with pytest.raises(w.ClosedError):
            grandchild.run("true")
    assert twin.closed
    twin.close()
    # The name is free again; and a fork that is forgotten is closed.
    s.fork("twin")
    with s.fork("twin"):
        pass


def test_save(s: Sandbox, tmp_path: Path) -> None:
    s.run("echo saved > /tmp/file")
    path = tmp_path / "machine"
    saved = s.save(path)
    assert saved.size == path.stat().st_size > 0
    with Sandbox(snapshot=path) as again:
        assert again.run("cat /tmp/file", timeout=LONG).stdout == "saved\n"
    with pytest.raises(w.HostError):
        s.save(tmp_path / "nowhere" / "machine")


def test_cancel(s: Sandbox) -> None:
    sent = threading.Event()

    def wait() -> None:
        sent.set()
        s.run("sleep 1000", timeout=1001, request_id="mine")

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        sent.wait()
        while not s.cancel("mine"):
            pass  # It is not sent yet.
        with pytest.raises(w.RequestCancelledError):
            waiting.result()
    assert not s.cancel("nobody's")


def test_an_id_is_for_one_request_at_a_time(s: Sandbox) -> None:
    stream = s.stream("sleep 1000", timeout=1001, request_id="mine")
    with pytest.raises(ValueError, match="mine"):
        s.run("true", request_id="mine")
    stream.close()


def test_200_requests_from_20_threads() -> None:
    with Sandbox(ordered=False) as s, ThreadPoolExecutor(20) as pool:
        results = pool.map(lambda i: s.run(f"echo {i}", timeout=LONG).stdout, range(200))
        assert list(results) == [f"{i}\n" for i in range(200)]


def test_in_order(s: Sandbox) -> None:
    streams = [s.stream(f"echo {i} >> /tmp/order") for i in range(20)]
    for stream in reversed(streams):
        assert stream.result.ok
    assert s.run("cat /tmp/order").stdout.split() == [str(i) for i in range(20)]


@pytest.mark.parametrize(
    ("error", "options"),
    [(w.BadCwdError, {"cwd": "/nowhere"}), (w.BadUserError, {"user": "nobody-at-all"})],
)
def test_errors_of_commands(s: Sandbox, error: type[w.RequestError], options: dict[str, str]) -> None:
    with pytest.raises(error):
        s.run("true", **options)  # type: ignore[arg-type]


def test_programs_that_are_none(s: Sandbox) -> None:
    with pytest.raises(w.NotFoundError):
        s.exec(["no-such-program"])
    with pytest.raises(w.NotExecutableError):
        s.exec(["/etc/passwd"])


def test_options_of_the_command_line() -> None:
    said = io.StringIO()
    with Sandbox(memory_limit=256, no_snapshot=True, verbose=True, stderr=said) as s:
        assert s.status().memory_limit_bytes == 256 << 20
    assert "Linux" in said.getvalue()
    with pytest.raises(w.ProgramDiedError, match="memory-limit"):
        Sandbox(memory_limit=1)
    with pytest.raises(TypeError, match="allow_read"):
        Sandbox(allow_read="/tmp")


def test_it_says_what_it_is(s: Sandbox) -> None:
    assert repr(s) == "<Sandbox>"
    with s.fork("twin") as twin:
        assert repr(twin) == "<Sandbox twin>"
    assert repr(twin) == "<Sandbox twin, closed>"
