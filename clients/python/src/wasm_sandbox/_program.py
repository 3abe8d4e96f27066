"""Which program is run, and with which arguments."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Sequence, TypedDict, Union

from ._errors import ProgramNotFoundError

if TYPE_CHECKING:
    HostPath = Union[str, "os.PathLike[str]"]

NAME = "wasm-sandbox"
VARIABLE = "WASM_SANDBOX"


class ProgramOptions(TypedDict, total=False):
    """How the program is started: the options of its command line."""

    memory_limit: Optional[int]
    disk_limit: Optional[int]
    process_limit: Optional[int]
    image: Optional[HostPath]
    snapshot: Optional[HostPath]
    no_snapshot: bool
    allow_read: Sequence[HostPath]
    allow_write: Sequence[HostPath]
    verbose: bool
    arguments: Sequence[str]


def find_program(program: Optional[HostPath] = None) -> str:
    """The program's path: what is given; what WASM_SANDBOX names; what PATH has; what the repository has built."""
    for source, wanted in (
        ("the argument `program`", None if program is None else os.fspath(program)),
        (f"the environment variable {VARIABLE}", os.environ.get(VARIABLE) or None),
    ):
        if wanted is not None:
            # A name without a directory is looked for in PATH; a path must be an executable file.
            found = shutil.which(wanted)
            if found is None:
                raise ProgramNotFoundError(f"{source} names {wanted!r}, which is not a program that can be run")
            return found
    found = shutil.which(NAME)
    if found is not None:
        return found
    for directory in Path(__file__).resolve().parents:
        if (directory / "clients" / "python" / "pyproject.toml").is_file():
            built = shutil.which(str(directory / "target" / "release" / NAME))
            if built is not None:
                return built
    raise ProgramNotFoundError(
        f"the program {NAME} is not there: it is neither given as `program`, nor named by the environment "
        f"variable {VARIABLE}, nor in PATH, nor built in this package's repository (target/release/{NAME})"
    )


def command_line(
    program: str,
    *,
    memory_limit: Optional[int] = None,
    disk_limit: Optional[int] = None,
    process_limit: Optional[int] = None,
    image: Optional[HostPath] = None,
    snapshot: Optional[HostPath] = None,
    no_snapshot: bool = False,
    allow_read: Sequence[HostPath] = (),
    allow_write: Sequence[HostPath] = (),
    verbose: bool = False,
    arguments: Sequence[str] = (),
) -> List[str]:
    """The program with its arguments."""
    line = [program]
    for option, value in (
        ("--memory-limit", memory_limit),
        ("--disk-limit", disk_limit),
        ("--process-limit", process_limit),
        ("--image", image),
        ("--snapshot", snapshot),
        *(("--allow-read", path) for path in _paths("allow_read", allow_read)),
        *(("--allow-write", path) for path in _paths("allow_write", allow_write)),
    ):
        if value is not None:
            line.append(f"{option}={value if isinstance(value, int) else os.fspath(value)}")
    line += ["--no-snapshot"] if no_snapshot else []
    line += ["--verbose"] if verbose else []
    return [*line, *arguments]


def _paths(name: str, paths: Sequence[HostPath]) -> List[str]:
    if isinstance(paths, (str, os.PathLike)):
        # A string is a sequence, too: of one-letter paths, the first of which is "/".
        raise TypeError(f"`{name}` takes a list of paths")
    return [os.path.abspath(path) for path in paths]
