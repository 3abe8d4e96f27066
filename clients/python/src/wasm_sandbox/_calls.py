"""The requests: from Python arguments to the protocol's fields, and from answers to results.

Nothing here sends anything. `Sandbox` and `AsyncSandbox` both send what these functions make.
"""

from __future__ import annotations

import base64
import math
import os
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Generic,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    TypedDict,
    TypeVar,
    Union,
)

from ._archive import pack
from ._errors import InvalidRequestError
from ._types import (
    CodeResult,
    CommandResult,
    Copied,
    DirectoryListing,
    Downloaded,
    Entry,
    EntryType,
    FileReplacements,
    Found,
    Hello,
    Language,
    Match,
    Message,
    ProcessInfo,
    ProcessOutput,
    Replaced,
    Saved,
    SessionInfo,
    Status,
    build,
    decode_base64,
)

if TYPE_CHECKING:
    HostPath = Union[str, "os.PathLike[str]"]

T = TypeVar("T")

Mode = Union[int, str]
Data = Union[str, bytes, bytearray, memoryview]


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request that can be sent."""

    #: The field `type`.
    type: str
    #: All others, without `id`, `sandbox` and `async`.
    fields: Dict[str, Any]
    #: From the answer, if it is a success, to the result.
    parse: Callable[[Message], T]
    #: It does nothing but wait, so it must not hold up others: it is sent with `async` always.
    waits: bool = False
    #: An id of the user's choice, for `cancel`.
    request_id: Optional[str] = None
    #: Its events come after the answer, too.
    lasting: bool = field(default=False)

    def streamed(self) -> Call[T]:
        """The same request, with events."""
        return Call(self.type, {**self.fields, "stream": True}, self.parse, self.waits, self.request_id, self.lasting)


class CodeOptions(TypedDict, total=False):
    """The options of `run_code`."""

    cwd: Optional[str]
    env: Optional[Mapping[str, str]]
    timeout: Optional[float]
    max_output_bytes: Optional[int]
    request_id: Optional[str]


class CommandOptions(CodeOptions, total=False):
    """The options of `run`, `exec` and `stream`."""

    clear_env: bool
    user: Optional[str]
    stdin: Optional[Data]
    cpu_timeout: Optional[float]
    max_instructions: Optional[int]
    pty: Optional[Tuple[int, int]]


class StartOptions(TypedDict, total=False):
    """The options of `start`."""

    cwd: Optional[str]
    env: Optional[Mapping[str, str]]
    clear_env: bool
    user: Optional[str]
    stdin: Optional[Data]
    open_stdin: bool
    timeout: Optional[float]
    cpu_timeout: Optional[float]
    max_instructions: Optional[int]
    max_output_bytes: Optional[int]
    pty: Optional[Tuple[int, int]]


def milliseconds(seconds: Optional[float]) -> Optional[int]:
    """For the protocol, never less than was asked for."""
    return None if seconds is None else math.ceil(seconds * 1000)


def given(**members: Any) -> Dict[str, Any]:
    """The members that are not `None`: what is absent has the program's default."""
    return {name: value for name, value in members.items() if value is not None}


def _data(name: str, encoding: str, data: Optional[Data]) -> Dict[str, str]:
    if data is None:
        return {}
    if isinstance(data, str):
        return {name: data}
    return {name: base64.b64encode(data).decode("ascii"), encoding: "base64"}


def _mode(mode: Optional[Mode]) -> Optional[str]:
    return f"{mode:04o}" if isinstance(mode, int) else mode


def _nothing(_: Message) -> None:
    return None


def _get(name: str) -> Callable[[Message], Any]:
    return lambda message: message[name]


def _each(name: str, cls: Any) -> Callable[[Message], Tuple[Any, ...]]:
    return lambda message: tuple(build(cls, item) for item in message[name])


# The machine


def hello() -> Call[Hello]:
    return Call("hello", {}, Hello.parse)


def status() -> Call[Status]:
    return Call("status", {}, Status.parse)


def reset() -> Call[None]:
    return Call("reset", {}, _nothing)


def checkpoint(name: str) -> Call[None]:
    return Call("checkpoint", {"name": name}, _nothing)


def restore(name: str) -> Call[None]:
    return Call("restore", {"name": name}, _nothing)


def checkpoint_delete(name: str) -> Call[None]:
    return Call("checkpoint_delete", {"name": name}, _nothing)


def fork(name: Optional[str]) -> Call[str]:
    return Call("fork", given(name=name), _get("sandbox"))


def close() -> Call[None]:
    return Call("close", {}, _nothing)


def save(path: HostPath) -> Call[Saved]:
    # The program's working directory is where Python's was when it started.
    return Call("save", {"path": os.path.abspath(path)}, lambda message: build(Saved, message))


def cancel(target: Union[str, int]) -> Call[bool]:
    return Call("cancel", {"target": target}, _get("cancelled"))


# Commands and code


def _options(
    *,
    cwd: Optional[str] = None,
    env: Optional[Mapping[str, str]] = None,
    clear_env: bool = False,
    user: Optional[str] = None,
    stdin: Optional[Data] = None,
    open_stdin: bool = False,
    timeout: Optional[float] = None,
    cpu_timeout: Optional[float] = None,
    max_instructions: Optional[int] = None,
    max_output_bytes: Optional[int] = None,
    pty: Optional[Tuple[int, int]] = None,
) -> Dict[str, Any]:
    size = None if pty is None else {"cols": pty[0], "rows": pty[1]}
    return given(
        cwd=cwd,
        env=None if env is None else dict(env),
        clear_env=clear_env or None,
        user=user,
        **_data("stdin", "stdin_encoding", stdin),
        open_stdin=open_stdin or None,
        time_limit_ms=milliseconds(timeout),
        cpu_time_limit_ms=milliseconds(cpu_timeout),
        max_instructions=max_instructions,
        max_output_bytes=max_output_bytes,
        pty=size,
    )


def command(
    what: Union[str, Sequence[str]],
    session: Optional[str] = None,
    request_id: Optional[str] = None,
    **options: Any,
) -> Call[CommandResult]:
    """`shell` for a string, `exec` for a list."""
    fields = {**_what(what), **given(session=session), **_options(**options)}
    return Call(_type(what), fields, CommandResult.parse, request_id=request_id)


def start(what: Union[str, Sequence[str]], **options: Any) -> Call[Tuple[str, int]]:
    """The same in the background. The result is the process's id, and its number in the guest."""
    fields = {**_what(what), "background": True, **_options(**options)}
    return Call(_type(what), fields, lambda message: (message["process_id"], message["pid"]))


def _type(what: Union[str, Sequence[str]]) -> str:
    return "shell" if isinstance(what, str) else "exec"


def _what(what: Union[str, Sequence[str]]) -> Dict[str, Any]:
    return {"command": what} if isinstance(what, str) else {"argv": list(what)}


def run_code(
    code: str,
    language: Language,
    context: Optional[str] = None,
    *,
    request_id: Optional[str] = None,
    cwd: Optional[str] = None,
    env: Optional[Mapping[str, str]] = None,
    timeout: Optional[float] = None,
    max_output_bytes: Optional[int] = None,
) -> Call[CodeResult]:
    fields = given(
        language=language,
        code=code,
        context=context,
        cwd=cwd,
        env=None if env is None else dict(env),
        time_limit_ms=milliseconds(timeout),
        max_output_bytes=max_output_bytes,
    )
    return Call("run_code", fields, CodeResult.parse, request_id=request_id)


# Processes and sessions


def process_list() -> Call[Tuple[ProcessInfo, ...]]:
    return Call("process_list", {}, _each("processes", ProcessInfo))


def process_wait(process_id: str, time_limit_ms: Optional[int]) -> Call[Optional[CommandResult]]:
    """The result is `None` if the process runs still."""
    fields = given(process_id=process_id, time_limit_ms=time_limit_ms)
    return Call(
        "process_wait",
        fields,
        lambda message: None if message["running"] else CommandResult.parse(message),
        waits=True,
    )


def process_read(process_id: str, after_seq: int, max_bytes: Optional[int], wait: float) -> Call[ProcessOutput]:
    fields = given(process_id=process_id, after_seq=after_seq, max_bytes=max_bytes, wait_ms=milliseconds(wait))
    return Call("process_read", fields, ProcessOutput.parse, waits=True)


def process_write(process_id: str, data: Data) -> Call[int]:
    return Call("process_write", {"process_id": process_id, **_data("data", "encoding", data)}, _get("size"))


def process_close_stdin(process_id: str) -> Call[None]:
    return Call("process_close_stdin", {"process_id": process_id}, _nothing)


def process_signal(process_id: str, signal: Union[str, int], leader_only: bool) -> Call[None]:
    # int(): `signal.SIGTERM` is a number with a name.
    value = int(signal) if isinstance(signal, int) else signal
    fields = given(process_id=process_id, signal=value, leader_only=leader_only or None)
    return Call("process_signal", fields, _nothing)


def process_resize(process_id: str, cols: int, rows: int) -> Call[None]:
    return Call("process_resize", {"process_id": process_id, "cols": cols, "rows": rows}, _nothing)


def wait_port(port: int, timeout: Optional[float]) -> Call[None]:
    return Call("wait_port", given(port=port, time_limit_ms=milliseconds(timeout)), _nothing, waits=True)


def wait_log(process_id: str, pattern: str, timeout: Optional[float]) -> Call[str]:
    fields = given(process_id=process_id, pattern=pattern, time_limit_ms=milliseconds(timeout))
    return Call("wait_log", fields, _get("line"), waits=True)


def session_list() -> Call[Tuple[SessionInfo, ...]]:
    return Call("session_list", {}, _each("sessions", SessionInfo))


def session_close(session: str, language: Optional[Language] = None) -> Call[None]:
    return Call("session_close", given(session=session, language=language), _nothing)


# Files


def read_text(path: str, offset: Optional[int], length: Optional[int]) -> Call[str]:
    return Call("read_file", given(path=path, offset=offset, length=length), _get("content"))


def read_bytes(path: str, offset: Optional[int], length: Optional[int]) -> Call[bytes]:
    fields = given(path=path, encoding="base64", offset=offset, length=length)
    return Call("read_file", fields, lambda message: decode_base64(message["content"]))


def write_file(
    path: str,
    data: Data,
    mode: Optional[Mode],
    append: bool,
    create_parents: bool,
    atomic: Optional[bool],
) -> Call[int]:
    fields = given(
        path=path,
        **_data("content", "encoding", data),
        mode=_mode(mode),
        append=append or None,
        create_parents=create_parents or None,
        atomic=atomic,
    )
    return Call("write_file", fields, _get("size"))


def list_dir(path: str, depth: Optional[int], max_entries: Optional[int]) -> Call[DirectoryListing]:
    return Call(
        "list_dir",
        given(path=path, depth=depth, max_entries=max_entries),
        lambda message: build(DirectoryListing, message, entries=_each("entries", Entry)(message)),
    )


def stat(path: str, follow: bool) -> Call[Entry]:
    fields = given(path=path, follow=None if follow else False)
    return Call("stat", fields, lambda message: build(Entry, message["entry"]))


def exists(path: str) -> Call[bool]:
    return Call("exists", {"path": path}, _get("exists"))


def mkdir(path: str, create_parents: bool, mode: Optional[Mode]) -> Call[bool]:
    fields = given(path=path, create_parents=create_parents or None, mode=_mode(mode))
    return Call("mkdir", fields, _get("created"))


def remove(path: str, recursive: bool, missing_ok: bool) -> Call[int]:
    fields = given(path=path, recursive=recursive or None, missing_ok=missing_ok or None)
    return Call("remove", fields, _get("removed"))


def rename(source: str, target: str, overwrite: bool) -> Call[None]:
    return Call("rename", given(**{"from": source}, to=target, overwrite=overwrite or None), _nothing)


def copy(source: str, target: str, recursive: bool, overwrite: bool) -> Call[Copied]:
    fields = given(**{"from": source}, to=target, recursive=recursive or None, overwrite=overwrite or None)
    return Call("copy", fields, lambda message: build(Copied, message))


def symlink(path: str, target: str) -> Call[None]:
    return Call("symlink", {"path": path, "target": target}, _nothing)


def chmod(path: str, mode: Mode) -> Call[None]:
    return Call("chmod", {"path": path, "mode": _mode(mode)}, _nothing)


def find(
    path: str,
    name: Optional[str] = None,
    *,
    entry_type: Optional[EntryType] = None,
    content: Optional[str] = None,
    ignore_case: bool = False,
    max_depth: Optional[int] = None,
    max_results: Optional[int] = None,
    timeout: Optional[float] = None,
) -> Call[Found]:
    fields = given(
        path=path,
        name=name,
        entry_type=entry_type,
        content=content,
        ignore_case=ignore_case or None,
        max_depth=max_depth,
        max_results=max_results,
        time_limit_ms=milliseconds(timeout),
    )
    return Call("find", fields, lambda message: build(Found, message, matches=_each("matches", Match)(message)))


def replace(
    paths: Union[str, Sequence[str]], old: str, new: str, regex: bool, expected: Optional[int]
) -> Call[Replaced]:
    fields = given(
        paths=[paths] if isinstance(paths, str) else list(paths),
        old=old,
        new=new,
        regex=regex or None,
        expected_replacements=expected,
    )
    return Call(
        "replace",
        fields,
        lambda message: build(Replaced, message, files=_each("files", FileReplacements)(message)),
    )


def watch(path: str, recursive: bool) -> Call[str]:
    return Call("watch", given(path=path, recursive=recursive or None), _get("watch_id"), lasting=True)


def unwatch(watch_id: str) -> Call[None]:
    return Call("unwatch", {"watch_id": watch_id}, _nothing)


def upload(
    path: str,
    source: Union[HostPath, bytes, None],
    host_path: Optional[HostPath],
    timeout: Optional[float],
) -> Call[Copied]:
    if (source is None) == (host_path is None):
        raise InvalidRequestError("give either `source` or `host_path`", "invalid_request", "upload")
    content: Optional[str] = None
    if source is not None:
        archive = bytes(source) if isinstance(source, (bytes, bytearray, memoryview)) else pack(source)
        content = base64.b64encode(archive).decode("ascii")
    fields = given(
        path=path,
        content=content,
        host_path=None if host_path is None else os.path.abspath(host_path),
        time_limit_ms=milliseconds(timeout),
    )
    return Call("upload", fields, lambda message: build(Copied, message))


def download(path: str, host_path: Optional[HostPath], timeout: Optional[float]) -> Call[Downloaded]:
    fields = given(
        path=path,
        host_path=None if host_path is None else os.path.abspath(host_path),
        time_limit_ms=milliseconds(timeout),
    )

    def parse(message: Message) -> Downloaded:
        content = message.get("content")
        return build(Downloaded, message, archive=None if content is None else decode_base64(content))

    return Call("download", fields, parse)
