"""Runs the transcripts that all clients share; see tests/transcripts/README.md."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from pathlib import Path
from typing import Any, Dict, List

import pytest

TRANSCRIPTS = Path(__file__).resolve().parents[3] / "tests" / "transcripts"
FILES = sorted(TRANSCRIPTS.glob("*.jsonl"))
GIVE_UP_AFTER = 300

Kept = Dict[str, Any]


def matches(pattern: Any, value: Any, kept: Kept) -> bool:
    """Whether a value is as a pattern says. Adds to `kept`."""
    if isinstance(pattern, dict):
        if not isinstance(value, dict):
            return False
        wanted = {name: member for name, member in pattern.items() if name != "<more>"}
        if any(name not in value for name in wanted):
            return False
        if len(value) > len(wanted) and pattern.get("<more>") is not True:
            return False
        return all(matches(member, value[name], kept) for name, member in wanted.items())
    if isinstance(pattern, list):
        return (
            isinstance(value, list)
            and len(pattern) == len(value)
            and all(matches(one, other, kept) for one, other in zip(pattern, value))
        )
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if pattern == "<number>":
        return number
    if pattern == "<string>":
        return isinstance(value, str)
    if pattern == "<boolean>":
        return isinstance(value, bool)
    if pattern == "<any>":
        return True
    if isinstance(pattern, str):
        if pattern.startswith("</") and pattern.endswith("/>"):
            return isinstance(value, str) and re.search(pattern[2:-2], value) is not None
        if name := re.fullmatch("<keep (.*)>", pattern):
            kept[name[1]] = value
            return True
        if name := re.fullmatch("<kept (.*)>", pattern):
            return bool(kept[name[1]] == value)
    # In Python, True is equal to 1.
    return bool(pattern == value) and isinstance(pattern, bool) == isinstance(value, bool)


def with_kept(value: Any, kept: Kept) -> Any:
    """What is sent, with what was kept in its place."""
    if isinstance(value, dict):
        return {name: with_kept(member, kept) for name, member in value.items()}
    if isinstance(value, list):
        return [with_kept(item, kept) for item in value]
    name = re.fullmatch("<kept (.*)>", value) if isinstance(value, str) else None
    return kept[name[1]] if name else value


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_transcript(path: Path, program: str, tmp_path: Path) -> None:
    process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path)
    assert process.stdin is not None
    assert process.stdout is not None
    watchdog = threading.Timer(GIVE_UP_AFTER, process.kill)
    watchdog.start()
    kept: Kept = {}

    def receive() -> Any:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"{place}: the program wrote no more"
        return json.loads(line)

    try:
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            place = f"{path.name}:{number}"
            [(kind, content)] = json.loads(text).items()
            if kind == "send":
                process.stdin.write(json.dumps(with_kept(content, kept)).encode() + b"\n")
                process.stdin.flush()
            elif kind == "receive":
                message = receive()
                assert matches(content, message, kept), f"{place}: wanted {content}, but got {message}"
            elif kind == "receive_in_any_order":
                left: List[Any] = list(content)
                while left:
                    message = receive()
                    found = next((pattern for pattern in left if matches(pattern, message, kept)), None)
                    assert found is not None, f"{place}: got {message}, but wanted one of {left}"
                    left.remove(found)
            else:
                assert kind == "comment", place
        process.stdin.close()
        rest = process.stdout.read()
        assert rest == b"", f"{path.name}: more than was expected: {rest!r}"
        assert process.wait() == 0
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_there_are_transcripts() -> None:
    assert FILES


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1, "<more>": True}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {}, False),
        ([1, "<number>"], [1, 2.5], True),
        ([1], [1, 2], False),
        ("<number>", True, False),
        ("<number>", 1, True),
        ("<string>", 1, False),
        ("<boolean>", False, True),
        ("<any>", None, True),
        (True, 1, False),
        ("</b+$/>", "aabb", True),
        ("</^b/>", "aabb", False),
        ("</b/>", 1, False),
        ("text", "text", True),
        (["<keep x>", "<kept x>"], [[1], [1]], True),
        (["<keep x>", "<kept x>"], [1, 2], False),
    ],
)
def test_patterns(pattern: Any, value: Any, expected: bool) -> None:
    assert matches(pattern, value, {}) is expected
