"""What needs no program: lines, messages, errors."""

from __future__ import annotations

import random
from typing import Any, Dict, List

import pytest

import wasm_sandbox as w
from wasm_sandbox import _calls
from wasm_sandbox._core import Core, Decoder, result
from wasm_sandbox._errors import error_class
from wasm_sandbox._program import command_line


def test_lines_may_come_in_pieces() -> None:
    data = '{"type":"a","success":true,"x":"hä"}\n{"type":"event","y":1}\n'.encode() * 50
    chance = random.Random(1)
    for _ in range(50):
        decoder, messages, at = Decoder(), [], 0
        while at < len(data):
            size = chance.randrange(1, 60)
            messages += decoder.feed(data[at : at + size])
            at += size
        assert len(messages) == 100
        assert messages[0]["x"] == "hä"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"[]",
        b"1",
        b"{}",
        b'{"type":1}',
        b'{"type":"shell"}',
        b'{"type":"a","success":1}',
        b"\xff",
        b"[" * 99999,
    ],
)
def test_garbage(line: bytes) -> None:
    with pytest.raises(w.ProtocolError):
        Decoder().feed(line + b"\n")


def test_answers_find_who_waits() -> None:
    core = Core()
    one: List[Any] = []
    two: List[Any] = []
    first, line = core.request(_calls.status(), one.append)
    assert line == b'{"type":"status","id":1}\n'
    second, line = core.request(_calls.wait_port(80, None), two.append, sandbox="twin")
    assert line == b'{"type":"wait_port","id":2,"port":80,"sandbox":"twin","async":true}\n'
    core.feed(b'{"type":"wait_port","id":2,"success":true}\n{"type":"event","id":1}\n{"type":"event","id":77}\n')
    assert [message["id"] for message in one] == [1]
    assert [message["id"] for message in two] == [2]
    # It was answered: nothing may come again, and there is nothing to cancel.
    with pytest.raises(w.ProtocolError):
        core.feed(b'{"type":"wait_port","id":2,"success":true}\n')
    assert not core.abandon(second)
    # One that nobody waits for any more is answered nevertheless.
    assert core.abandon(first)
    core.feed(b'{"type":"status","id":1,"success":true}\n')
    assert len(one) == 1


def test_the_end_is_told_to_all() -> None:
    core = Core()
    heard: List[Any] = []
    core.request(_calls.status(), heard.append)
    core.request(_calls.status(), heard.append)
    assert core.fail(lambda: w.ClosedError("over"))
    assert [type(one) for one in heard] == [w.ClosedError] * 2
    assert heard[0] is not heard[1]
    with pytest.raises(w.ClosedError):
        core.request(_calls.status(), heard.append)
    assert not core.fail(lambda: w.ClosedError("again"))


def test_an_answer_that_lacks_something() -> None:
    with pytest.raises(w.ProtocolError, match="exit_code"):
        result(_calls.command("true"), {"type": "shell", "success": True, "stdout": "", "stderr": ""})
    with pytest.raises(w.ProtocolError, match="sandbox"):
        result(_calls.fork(None), {"type": "fork", "success": True})
    with pytest.raises(w.ProtocolError, match="base64"):
        result(_calls.read_bytes("/a", None, None), {"type": "read_file", "success": True, "content": "?"})


def test_newer_programs_may_say_more() -> None:
    answer: Dict[str, Any] = {"type": "copy", "success": True, "entries": 1, "size": 2, "new": 3}
    assert result(_calls.copy("/a", "/b", False, False), answer) == w.Copied(1, 2)
    answer = {"type": "copy", "success": False, "error": "oh", "error_code": "brand_new"}
    with pytest.raises(w.RequestError, match="oh") as caught:
        result(_calls.copy("/a", "/b", False, False), answer)
    assert caught.value.error_code == "brand_new"


def test_failures_have_the_output_so_far() -> None:
    answer = {
        "type": "shell",
        "success": False,
        "error": "stopped",
        "error_code": "cancelled",
        "stdout": "/w==",
        "stdout_encoding": "base64",
        "stderr": "err",
    }
    with pytest.raises(w.RequestCancelledError) as caught:
        result(_calls.command("true"), answer)
    assert (caught.value.stdout, caught.value.stderr, caught.value.request) == ("\ufffd", "err", "shell")


def test_error_classes() -> None:
    assert error_class("not_found") is w.NotFoundError
    assert issubclass(error_class("unknown_process"), w.NotFoundError)
    assert error_class("io") is w.RequestError


def test_seconds_become_milliseconds() -> None:
    fields = _calls.command("true", timeout=1.5, cpu_timeout=0.0001).fields
    assert (fields["time_limit_ms"], fields["cpu_time_limit_ms"]) == (1500, 1)
    assert "time_limit_ms" not in _calls.command("true").fields


def test_command_line() -> None:
    line = command_line("p", memory_limit=1, snapshot="-x", no_snapshot=True, allow_read=["/a"], arguments=["-v"])
    assert line == ["p", "--memory-limit=1", "--snapshot=-x", "--allow-read=/a", "--no-snapshot", "-v"]
