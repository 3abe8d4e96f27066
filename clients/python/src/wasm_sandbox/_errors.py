"""What can go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Optional, Type

if TYPE_CHECKING:
    from ._types import Output


class SandboxError(Exception):
    """The base of everything that this package raises on its own."""


class ProgramNotFoundError(SandboxError):
    """The program `wasm-sandbox` is not there; the message says where it was looked for."""


class ProgramDiedError(SandboxError):
    """The program ended, or never started, though it was needed."""

    def __init__(self, message: str, exit_code: Optional[int] = None, stderr: str = "") -> None:
        super().__init__(message)
        #: The program's exit code, if it had one; negative if a signal ended it.
        self.exit_code = exit_code
        #: The last of what it wrote to standard error.
        self.stderr = stderr


class ProtocolError(SandboxError):
    """The program wrote something that is no answer, so nothing it says can be relied on. It was ended."""


class ClosedError(SandboxError):
    """The sandbox is closed, or was closed while the request waited."""


class CommandError(SandboxError):
    """A command did not end well, and `check()` was asked to mind."""

    def __init__(self, message: str, result: Output) -> None:
        super().__init__(message)
        #: How it ended.
        self.result = result


class RequestError(SandboxError):
    """The program did not carry out a request. `error_code` says why, and so do the subclasses."""

    def __init__(
        self,
        message: str,
        error_code: str,
        request: str = "",
        stdout: Optional[str] = None,
        stderr: Optional[str] = None,
    ) -> None:
        super().__init__(message)
        #: One of the words that the protocol lists, such as `"not_found"`.
        self.error_code = error_code
        #: The request's type, such as `"read_file"`.
        self.request = request
        #: What the command had written to standard output before it was stopped, if there was a command.
        self.stdout = stdout
        #: The same for standard error.
        self.stderr = stderr


class InvalidRequestError(RequestError):
    """An argument is wrong: a path that is not absolute, a time out of range, a pattern with a mistake…"""


class TooLargeError(RequestError):
    """Something is larger than the program or the guest takes."""


class NotUtf8Error(RequestError):
    """The file is not text in UTF-8: read it with `read_bytes`."""


class NotFoundError(RequestError):
    """There is no such file, directory, program, sandbox, checkpoint, process or session."""


class UnknownSandboxError(NotFoundError):
    """There is no such sandbox: it was closed."""


class UnknownCheckpointError(NotFoundError):
    """There is no checkpoint of that name."""


class UnknownProcessError(NotFoundError):
    """There is no such process: it was never there, or is forgotten."""


class UnknownSessionError(NotFoundError):
    """There is no session of that name."""


class NotExecutableError(RequestError):
    """The file may not be executed, or is no program."""


class BadCwdError(RequestError):
    """`cwd` is not a directory that one can change to."""


class BadUserError(RequestError):
    """`user` is not a user of the guest."""


class FileKindError(RequestError):
    """A directory where a file is needed, or a file where a directory is needed."""


class AlreadyExistsError(RequestError):
    """It exists already."""


class NotEmptyError(RequestError):
    """The directory is not empty."""


class PermissionDeniedError(RequestError):
    """The guest's permissions forbid it."""


class NoSpaceError(RequestError):
    """The guest's disk is full."""


class HostError(RequestError):
    """A file of the host cannot be read or written, or was not allowed (`allow_read`, `allow_write`)."""


class MismatchError(RequestError):
    """The text to be replaced is not there, or not as often as expected. Nothing was changed."""


class TimedOutError(RequestError):
    """It took longer than was to be waited. (A command that ran too long is a result: `timed_out`.)"""


class RequestCancelledError(RequestError):
    """It was stopped: by `cancel`, `reset`, `restore` or `close`."""


class BusyError(RequestError):
    """The session is at work on another request."""


class StdinClosedError(RequestError):
    """The process's standard input is not open."""


class LimitReachedError(RequestError):
    """One of the limits is reached that `status` reports."""


class MachineCrashedError(RequestError):
    """The machine went down while it carried the request out. The next request finds a fresh one."""


class InternalError(RequestError):
    """The program itself could not do its part."""


_BY_CODE: Dict[str, Type[RequestError]] = {
    "invalid_json": InvalidRequestError,
    "unknown_type": InvalidRequestError,
    "invalid_request": InvalidRequestError,
    "invalid_base64": InvalidRequestError,
    "invalid_mode": InvalidRequestError,
    "invalid_path": InvalidRequestError,
    "invalid_pattern": InvalidRequestError,
    "line_too_long": TooLargeError,
    "too_large": TooLargeError,
    "not_utf8": NotUtf8Error,
    "not_found": NotFoundError,
    "unknown_sandbox": UnknownSandboxError,
    "unknown_checkpoint": UnknownCheckpointError,
    "unknown_process": UnknownProcessError,
    "unknown_session": UnknownSessionError,
    "not_executable": NotExecutableError,
    "bad_cwd": BadCwdError,
    "bad_user": BadUserError,
    "is_a_directory": FileKindError,
    "not_a_directory": FileKindError,
    "already_exists": AlreadyExistsError,
    "not_empty": NotEmptyError,
    "permission_denied": PermissionDeniedError,
    "no_space": NoSpaceError,
    "host_io": HostError,
    "host_path_not_allowed": HostError,
    "mismatch": MismatchError,
    "timed_out": TimedOutError,
    "cancelled": RequestCancelledError,
    "busy": BusyError,
    "stdin_closed": StdinClosedError,
    "limit_reached": LimitReachedError,
    "machine_crashed": MachineCrashedError,
    "internal": InternalError,
}


def error_class(error_code: str) -> Type[RequestError]:
    """The class for a code; the base for codes without one, `io` and those that are yet to come."""
    return _BY_CODE.get(error_code, RequestError)
