"""The protocol without input and output: requests to lines, bytes to messages, messages to who waits for them."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, NoReturn, Optional, Tuple, TypeVar, Union

from ._calls import Call
from ._errors import ProtocolError, SandboxError, TooLargeError, error_class
from ._types import Message, ProcessEvent, decode_base64, process_event

T = TypeVar("T")

RequestId = Union[str, int]
#: Takes the events and the answer of a request, or what ended everything. Called on the thread that reads.
Sink = Callable[[Union[Message, SandboxError]], None]


class Decoder:
    """Bytes to messages. A line may come in any number of pieces, and is joined once."""

    def __init__(self) -> None:
        self._pieces: List[bytes] = []

    def feed(self, data: bytes) -> List[Message]:
        """The messages that are complete now."""
        *lines, rest = data.split(b"\n")
        messages = []
        for line in lines:
            self._pieces.append(line)
            whole = b"".join(self._pieces)
            self._pieces.clear()
            messages.append(parse_line(whole))
        if rest:
            self._pieces.append(rest)
        return messages


def parse_line(line: bytes) -> Message:
    """One line of the program's."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError(f"the program wrote a line that is no message: {line[:200]!r}")
    if message["type"] != "event" and not isinstance(message.get("success"), bool):
        raise ProtocolError(f"the program wrote a line that is no answer: {line[:200]!r}")
    return message


@dataclass
class _Open:
    """A request that is under way, or whose events go on."""

    sink: Sink
    answered: bool = False
    lasting: bool = False


class Core:
    """What is under way, and whose it is. Safe to use from several threads and from `__del__`."""

    def __init__(self) -> None:
        # Reentrant, since a garbage collection may close something while its own thread is in here.
        self._lock = threading.RLock()
        self._open: Dict[RequestId, _Open] = {}
        self._next_id = 1
        self._failure: Optional[Callable[[], SandboxError]] = None
        self._decoder = Decoder()
        #: Bytes of a line that the program takes.
        self.line_bytes: Optional[int] = None

    def request(
        self, call: Call[Any], sink: Sink, *, sandbox: Optional[str] = None, concurrent: bool = False
    ) -> Tuple[RequestId, bytes]:
        """Makes the line for a request, and remembers who waits for the answer."""
        members: Message = {"type": call.type, "id": None, **call.fields}
        if sandbox is not None:
            members["sandbox"] = sandbox
        if concurrent or call.waits:
            members["async"] = True
        with self._lock:
            if self._failure is not None:
                raise self._failure()
            request_id: RequestId
            if call.request_id is None:
                request_id = self._next_id
                self._next_id += 1
            else:
                request_id = call.request_id
                if request_id in self._open:
                    raise ValueError(f"there is a request with the id {request_id!r} under way")
            members["id"] = request_id
            line = encode(members)
            if self.line_bytes is not None and len(line) > self.line_bytes:
                raise TooLargeError(
                    f"the request has {len(line)} bytes: the program takes at most {self.line_bytes}",
                    "line_too_long",
                    call.type,
                )
            self._open[request_id] = _Open(sink, lasting=call.lasting)
        return request_id, line

    def abandon(self, request_id: RequestId) -> bool:
        """Nobody waits for this request any more. Whether it is under way still, so that it can be cancelled."""
        with self._lock:
            entry = self._open.get(request_id)
            if entry is None:
                return False
            if entry.answered:
                del self._open[request_id]
                return False
            entry.sink, entry.lasting = _ignore, False
            return True

    def feed(self, data: bytes) -> None:
        """Hands out what the program has written."""
        for message in self._decoder.feed(data):
            self._dispatch(message)

    def _dispatch(self, message: Message) -> None:
        request_id = message.get("id")
        event = message["type"] == "event"
        with self._lock:
            entry = self._open.get(request_id) if isinstance(request_id, (str, int)) else None
            if entry is not None and not event:
                if entry.answered:
                    entry = None
                elif entry.lasting and message["success"]:
                    entry.answered = True
                else:
                    del self._open[request_id]  # type: ignore[arg-type]
        if entry is not None:
            entry.sink(message)
        elif not event:
            raise ProtocolError(f"the program answered something that was not asked: {json.dumps(message)[:300]}")

    def fail(self, failure: Callable[[], SandboxError]) -> bool:
        """Everything is over: tells all who wait, and all who come later. Whether anybody waited."""
        with self._lock:
            if self._failure is not None:
                return False
            self._failure = failure
            entries = list(self._open.values())
            self._open.clear()
        for entry in entries:
            # One each, since raising changes an exception.
            entry.sink(failure())
        return any(not entry.answered for entry in entries)

    @property
    def over(self) -> bool:
        """Whether everything is over."""
        return self._failure is not None


def _ignore(_: Union[Message, SandboxError]) -> None:
    pass


def encode(message: Message) -> bytes:
    """A line for the program."""
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        raise ValueError(
            "text for the sandbox must not have surrogates (from surrogateescape): give bytes instead"
        ) from None


def is_event(message: Message) -> bool:
    """Whether it is an event and not the answer."""
    return bool(message["type"] == "event")


def result(call: Call[T], answer: Message) -> T:
    """What a request is answered with; raises what went wrong."""
    if not answer["success"]:
        raise_failure(answer)
    try:
        return call.parse(answer)
    except (KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(
            f"the program's answer is not what {call.type!r} is answered with ({error!r}): {str(answer)[:300]}"
        ) from None


def raise_failure(answer: Message) -> NoReturn:
    """Raises what a failed answer says."""
    code = str(answer.get("error_code", ""))
    output: Dict[str, Optional[str]] = {}
    for name in ("stdout", "stderr"):
        text = answer.get(name)
        if text is not None and answer.get(f"{name}_encoding") == "base64":
            text = decode_base64(text).decode("utf-8", "replace")
        output[name] = text
    raise error_class(code)(str(answer.get("error", code)), code, answer["type"], **output)


def event(message: Message) -> ProcessEvent:
    """An event of a process."""
    return process_event(message)
