"""A collector of OpenTelemetry spans on loopback: decodes what it is sent, and can misbehave."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, ClassVar

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from standins.exchange.loopback import Loopback, LoopbackHandler

ERROR = 2
"""Of a span's status."""


class Manner(Enum):
    """How it answers."""

    TAKE = auto()
    HANG = auto()
    REFUSE = auto()
    REDIRECT = auto()
    DRIBBLE = auto()
    """A byte now and then, for ever."""
    GARBAGE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One span."""

    name: str
    id: bytes
    parent: bytes
    trace: bytes
    status: int
    attributes: Mapping[str, Any]


@dataclass
class Collector(Loopback):
    """A context manager; `spans` is what came so far."""

    manner: Manner = Manner.TAKE
    location: str = ""
    """Where `REDIRECT` sends one."""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(_Handler)

    @property
    def url(self) -> str:
        return self.host

    @property
    def spans(self) -> list[Received]:
        return [
            Received(
                name=span.name,
                id=span.span_id,
                parent=span.parent_span_id,
                trace=span.trace_id,
                status=span.status.code,
                attributes={item.key: _value(item.value) for item in span.attributes},
            )
            for body in list(self.bodies)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def tree(self) -> str:
        """The names as a tree, in the order of starting; a failed one has ``!`` behind it."""
        spans = self.spans
        known = {span.id for span in spans}
        lines: list[str] = []

        def add(parent: bytes, depth: int) -> None:
            for span in spans:
                if span.parent == parent or (not depth and span.parent not in known):
                    if not depth and span.parent in known:
                        continue
                    lines.append("  " * depth + span.name + ("!" if span.status == ERROR else ""))
                    add(span.id, depth + 1)

        add(b"", 0)
        return "\n".join(lines)

    def one(self, name: str) -> Received:
        (found,) = (span for span in self.spans if span.name == name)
        return found


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


class _Handler(LoopbackHandler):
    owner: ClassVar[Collector]

    def answer(self, data: bytes) -> None:
        self.owner.bodies.append(data)
        self.owner.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.owner.paths.append(self.path)
        self.close_connection = True
        match self.owner.manner:
            case Manner.TAKE:
                self._say(200)
            case Manner.REFUSE:
                self._say(503)
            case Manner.REDIRECT:
                self._say(307, self.owner.location)
            case Manner.HANG:
                self.owner.closing.wait()
            case Manner.GARBAGE:
                self.wfile.write(b"\x1b]0;pwned\x07\r\n\r\n")
            case Manner.DRIBBLE:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                while not self.owner.closing.is_set():
                    self.wfile.write(b"X")
                    self.wfile.flush()
                    time.sleep(0.05)

    def _say(self, status: int, location: str = "") -> None:
        self.send_response(status)
        if location:
            self.send_header("location", location)
        self.send_header("content-length", "0")
        self.end_headers()
