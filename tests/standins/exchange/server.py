"""What the stand-ins of all APIs share: a server on loopback that plays what a test queued.

Owns the requests, the queue and each way in which an answer breaks on the wire. Refuses to know any
API: what a request may be, and what an answer looks like, is the child's.
"""

import contextlib
import json
import socket
import struct
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from standins.exchange.faults import FaultError
from standins.exchange.loopback import Loopback, LoopbackHandler
from standins.exchange.replies import THE_END, Answer, Behaviour, Break, Framing, How, Page, Refuse
from standins.exchange.text_only import in_text

_PING_EVERY_S = 0.02

Event = tuple[str, bytes]
"""Its kind, for `Break.before`, and its bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What an answer needs of the exchange it belongs to."""

    request: Mapping[str, Any]
    usage: Mapping[str, int]
    number: int
    """Of the answer, from 1: makes ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A request as it came in."""

    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Any
    """Decoded JSON; None where it was none."""
    fault: str | None
    """Why the stand-in refused it; None: it did not."""
    usage: Mapping[str, int]
    """Its input, as counted; empty where it was not."""


class Exchange(Loopback, ABC):
    """A context manager. Every request needs a queued behaviour, taken in order."""

    stream_type = "text/event-stream; charset=utf-8"
    request_id_header: str
    ping: ClassVar[bytes]
    garbage: ClassVar[bytes]
    """An event whose data is not JSON."""
    no_object: ClassVar[bytes]
    """An event whose data is JSON and no object."""

    def __init__(self, *, key: str = "test-key-1234") -> None:
        super().__init__(_Handler)
        self.key = key
        self.requests: list[Recorded] = []
        self.models: Any = []
        """What it lists."""
        self.instead: Callable[[], Behaviour | None] = lambda: None
        """What a request gets in place of the queue's next; None: the queue's next."""
        self.text_only = False
        """Whether the model has no tool calls of its own."""
        self._queue: deque[Behaviour] = deque()
        self._lock = threading.Lock()
        self._answers = 0

    @property
    def url(self) -> str:
        """The base URL that an SDK is given."""
        return self.host

    @property
    def left(self) -> tuple[Behaviour, ...]:
        """What was queued and not asked for."""
        return tuple(self._queue)

    def queue(self, *behaviours: Behaviour) -> None:
        self._queue.extend(behaviours)

    # -- what an API is --------------------------------------------------------------------

    def meant(self, path: str, headers: Mapping[str, str], raw: bytes, body: Any) -> Any:
        """The body that the request stands for, where it is not the one that was sent."""
        return body

    @abstractmethod
    def check(self, path: str, headers: Mapping[str, str], body: Any) -> None:
        """Raise the `FaultError` that the API would answer, if any."""

    @abstractmethod
    def usage(self, body: Mapping[str, Any]) -> Mapping[str, int]:
        """Count a request's input."""

    @abstractmethod
    def events(self, answer: Answer, context: Context) -> list[Event]:
        """A streamed answer."""

    @abstractmethod
    def whole(self, answer: Answer, context: Context) -> Mapping[str, Any]:
        """An answer that is not streamed."""

    @abstractmethod
    def error_event(self, kind: str) -> bytes: ...

    @abstractmethod
    def fault_body(self, fault: FaultError | Refuse, request_id: str) -> Mapping[str, Any]: ...

    def server_side(self, path: str) -> Mapping[str, Any] | None:
        """What a path answers by itself, with nothing queued; None: it needs a behaviour."""
        return None

    def between(self, event: bytes) -> Iterator[bytes]:
        """What comes after each event where a test asks for pings."""
        yield event
        yield self.ping + b": a comment\n\n"

    # -- for the handler -------------------------------------------------------------------

    def take(
        self, path: str, headers: Mapping[str, str], body: Any, raw: bytes
    ) -> tuple[Behaviour | FaultError | Mapping[str, Any], Context]:
        """What to do with a request, which is recorded."""
        with self._lock:
            chosen: Behaviour | FaultError | Mapping[str, Any]
            usage: Mapping[str, int] = {}
            meant = body
            try:
                meant = self.meant(path, headers, raw, body)
                self.check(path, headers, meant)
                server_side = self.server_side(path)
                chosen = self._next() if server_side is None or self._fails_next() else server_side
                if isinstance(chosen, Answer) and self.text_only:
                    chosen = in_text(chosen, meant)
                if isinstance(chosen, Answer | Break):
                    usage = self.usage(meant)
            except FaultError as fault:
                chosen = fault
            self._answers += 1
            self.requests.append(
                Recorded(
                    path=path,
                    headers=headers,
                    body=body,
                    fault=chosen.message if isinstance(chosen, FaultError) else None,
                    usage=usage,
                )
            )
            request = meant if isinstance(meant, dict) else {}
            return chosen, Context(request=request, usage=usage, number=self._answers)

    def framed(self, events: Sequence[bytes], framing: Framing) -> Iterator[bytes]:
        """The writes to the connection."""
        match framing:
            case Framing.BYTE_BY_BYTE:
                yield from (bytes([byte]) for byte in b"".join(events))
            case Framing.ONE_WRITE:
                yield b"".join(events)
            case Framing.WITH_PINGS:
                for event in events:
                    yield from self.between(event)
            case Framing.CRLF:
                yield from (event.replace(b"\n", b"\r\n") for event in events)
            case Framing.PLAIN:
                yield from events

    def _fails_next(self) -> bool:
        """A failure is for any path, an answer only for those that answer."""
        return bool(self._queue) and isinstance(self._queue[0], Refuse | Page)

    def _next(self) -> Behaviour:
        instead = self.instead()
        if instead is not None:
            return instead
        if not self._queue:
            raise FaultError("the stand-in has nothing queued for this request")
        return self._queue.popleft()


class _Handler(LoopbackHandler):
    owner: ClassVar[Exchange]
    timeout = 30
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, ValueError):
            super().handle()

    def answer(self, data: bytes) -> None:
        try:
            body = json.loads(data)
        except ValueError:
            body = None
        headers = {name.lower(): value for name, value in self.headers.items()}
        chosen, context = self.owner.take(self.path, headers, body, data)
        self._request_id = f"req_{context.number:04}"
        match chosen:
            case FaultError():
                self._json(chosen.status, self.owner.fault_body(chosen, self._request_id))
            case Refuse():
                fault = self.owner.fault_body(chosen, self._request_id)
                self._json(chosen.status, fault, chosen.headers)
            case Page():
                text = chosen.body
                content = text if isinstance(text, bytes) else text.encode()
                self._whole(chosen.status, content, chosen.content_type, chosen.headers)
            case Break(before=None):
                self._break_before_headers(chosen)
            case Break():
                self._stream(chosen.answer, context, chosen)
            case Answer() if context.request.get("stream"):
                self._stream(chosen, context, None)
            case Answer():
                self._json(200, self.owner.whole(chosen, context))
            case server_side:
                self._json(200, server_side)

    def _json(
        self, status: int, value: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        self._whole(status, json.dumps(value).encode(), "application/json", headers or {})

    def _whole(
        self, status: int, body: bytes, content_type: str, headers: Mapping[str, str]
    ) -> None:
        self.send_response(status)
        for name, value in {
            "content-type": content_type,
            "content-length": str(len(body)),
            self.owner.request_id_header: self._request_id,
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, answer: Answer, context: Context, broken: Break | None) -> None:
        self.send_response(200)
        self.send_header("content-type", self.owner.stream_type)
        self.send_header("transfer-encoding", "chunked")
        self.send_header(self.owner.request_id_header, self._request_id)
        self.end_headers()
        whole = self.owner.events(answer, context)
        kept = whole if broken is None else _until(whole, broken)
        for piece in self.owner.framed([data for _, data in kept], answer.framing):
            self._chunk(piece)
        if broken is None:
            self._chunk(b"")
            return
        self._break(broken, b"".join(data for _, data in whole[len(kept) : len(kept) + 1]))

    def _break(self, broken: Break, missing: bytes) -> None:
        match broken.how:
            case How.DROP:
                self.close_connection = True
            case How.RESET:
                self._reset()
            case How.MID_EVENT:
                self._chunk(missing[: len(missing) // 2])
                self.close_connection = True
            case How.END:
                self._chunk(b"")
            case How.HANG:
                self.owner.closing.wait()
                self.close_connection = True
            case How.PING:
                while not self.owner.closing.wait(_PING_EVERY_S):
                    self._chunk(self.owner.ping)
                self.close_connection = True
            case How.ERROR:
                self._chunk(self.owner.error_event(broken.error))
                self._chunk(b"")
            case How.GARBAGE:
                self._chunk(self.owner.garbage)
                self._chunk(b"")
            case How.NO_OBJECT:
                self._chunk(self.owner.no_object)
                self._chunk(b"")

    def _break_before_headers(self, broken: Break) -> None:
        match broken.how:
            case How.HANG:
                self.owner.closing.wait()
                self.close_connection = True
            case How.RESET:
                self._reset()
            case _:
                self.close_connection = True

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _reset(self) -> None:
        """Close so that the other side sees an error and no end."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()


def _until(whole: Sequence[Event], broken: Break) -> list[Event]:
    kinds = [kind for kind, _ in whole] + [THE_END]
    assert broken.before in kinds, f"the answer has no {broken.before}"
    return list(whole[: kinds.index(broken.before)])
