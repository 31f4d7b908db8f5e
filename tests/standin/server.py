"""The stand-in as a server on loopback: takes requests, checks them, plays what was queued."""

import contextlib
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self

from standin import events, faults, rules
from standin.cache import Cache
from standin.faults import FaultError
from standin.replies import THE_END, Answer, Behaviour, Break, Framing, How, Page, Refuse

_PING_EVERY_S = 0.02


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


class StandIn:
    """A context manager. Every request needs a queued behaviour, taken in order."""

    def __init__(self, *, key: str = "test-key-1234") -> None:
        self.key = key
        self.requests: list[Recorded] = []
        self.cache = Cache()
        self.closing = threading.Event()
        self._queue: deque[Behaviour] = deque()
        self._lock = threading.Lock()
        self._answers = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def left(self) -> tuple[Behaviour, ...]:
        """What was queued and not asked for."""
        return tuple(self._queue)

    def queue(self, *behaviours: Behaviour) -> None:
        self._queue.extend(behaviours)

    def take(
        self, path: str, headers: Mapping[str, str], body: Any
    ) -> tuple[Behaviour | FaultError, events.Context]:
        """What to do with a request, which is recorded. For the handler."""
        with self._lock:
            chosen: Behaviour | FaultError
            usage: Mapping[str, int] = {}
            try:
                self._check(path, headers, body)
                chosen = self._next()
                if isinstance(chosen, Answer | Break):
                    usage = self.cache.usage(body)
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
            request = body if isinstance(body, dict) else {}
            return chosen, events.Context(request=request, usage=usage, number=self._answers)

    def _check(self, path: str, headers: Mapping[str, str], body: Any) -> None:
        rules.check_headers(headers, self.key)
        if path.partition("?")[0] != "/v1/messages":
            raise FaultError(f"{path} is not there", 404)
        rules.check_body(body)

    def _next(self) -> Behaviour:
        if not self._queue:
            raise FaultError("the stand-in has nothing queued for this request")
        return self._queue.popleft()


def _handler(api: StandIn) -> type["_Handler"]:
    class Handler(_Handler):
        standin = api

    return Handler


class _Handler(BaseHTTPRequestHandler):
    standin: ClassVar[StandIn]
    protocol_version = "HTTP/1.1"
    timeout = 30
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, ValueError):
            super().handle()

    def do_GET(self) -> None:
        self._serve(None)

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            body = json.loads(data)
        except ValueError:
            body = None
        self._serve(body)

    def _serve(self, body: Any) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        chosen, context = self.standin.take(self.path, headers, body)
        self._request_id = f"req_{context.number:04}"
        match chosen:
            case FaultError():
                self._refuse(chosen.status, chosen.type, chosen.message)
            case Refuse():
                kind = faults.TYPES.get(chosen.status, "api_error")
                self._refuse(
                    chosen.status, kind, chosen.message, code=chosen.code, headers=chosen.headers
                )
            case Page():
                body = chosen.body if isinstance(chosen.body, bytes) else chosen.body.encode()
                self._whole(chosen.status, body, chosen.content_type, chosen.headers)
            case Break(before=None):
                self._break_before_headers(chosen)
            case Break():
                self._stream(chosen.answer, context, chosen)
            case Answer() if body.get("stream"):
                self._stream(chosen, context, None)
            case Answer():
                whole = json.dumps(events.message(chosen, context)).encode()
                self._whole(200, whole, "application/json")

    def _refuse(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        body = json.dumps(faults.body(kind, message, self._request_id, code)).encode()
        self._whole(status, body, "application/json", headers or {})

    def _whole(
        self, status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {
            "content-type": content_type,
            "content-length": str(len(body)),
            "request-id": self._request_id,
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, answer: Answer, context: events.Context, broken: Break | None) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.send_header("request-id", self._request_id)
        self.end_headers()
        crlf = answer.framing is Framing.CRLF
        whole = list(events.events(answer, context))
        kept = whole if broken is None else _until(whole, broken)
        encoded = [events.encoded(event, crlf=crlf) for event in kept]
        for piece in events.framed(encoded, answer.framing):
            self._chunk(piece)
        if broken is None:
            self._chunk(b"")
            return
        missing = whole[len(kept) : len(kept) + 1]
        self._break(broken, b"".join(events.encoded(event, crlf=crlf) for event in missing))

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
                self.standin.closing.wait()
                self.close_connection = True
            case How.PING:
                while not self.standin.closing.wait(_PING_EVERY_S):
                    self._chunk(events.PING)
                self.close_connection = True
            case How.ERROR:
                error = {"error": {"type": broken.error, "message": "as the test asked"}}
                self._chunk(events.encoded(("error", error)))
                self._chunk(b"")
            case How.GARBAGE:
                self._chunk(b'event: content_block_delta\ndata: {"type": "content_bl\n\n')
                self._chunk(b"")
            case How.NO_OBJECT:
                self._chunk(b"event: content_block_delta\ndata: [1, 2]\n\n")
                self._chunk(b"")

    def _break_before_headers(self, broken: Break) -> None:
        match broken.how:
            case How.HANG:
                self.standin.closing.wait()
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


def _until(whole: Sequence[events.Event], broken: Break) -> list[events.Event]:
    kinds = [kind for kind, _ in whole] + [THE_END]
    assert broken.before in kinds, f"the answer has no {broken.before}"
    return list(whole[: kinds.index(broken.before)])
