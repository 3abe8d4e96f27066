"""What all tests share."""

from __future__ import annotations

import faulthandler
import os
import threading
from typing import Iterator

import pytest

from wasm_sandbox import Sandbox, find_program

# Nothing here waits for ever; if it does, everything is a failure, with a look at where it stood.
HANGS_AFTER = 600


@pytest.fixture(autouse=True)
def _no_hangs() -> Iterator[None]:
    faulthandler.dump_traceback_later(HANGS_AFTER, exit=True, file=2)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    """Every test ends what it began. (Threads of closed programs end on their own, so they are waited for.)"""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("wasm-sandbox"):
            thread.join(60)
            assert not thread.is_alive(), f"{thread} is left"


@pytest.fixture(scope="session", autouse=True)
def program() -> str:
    """The program. Fails at once if there is none."""
    path = find_program()
    os.environ["WASM_SANDBOX"] = path
    return path


@pytest.fixture(scope="module")
def machine(program: str) -> Iterator[Sandbox]:
    """A program for a module, since starting one for each test takes its time on a busy computer."""
    with Sandbox(program) as sandbox:
        yield sandbox


@pytest.fixture
def s(machine: Sandbox) -> Sandbox:
    """A sandbox in its initial state."""
    machine.reset()
    return machine
