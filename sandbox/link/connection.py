"""The host's end of the stream to a guest: requests out, answers in, nothing believed.

Owns the engine's stream multiplexing, the bounds on what a guest may send, and the moment at
which a guest counts as lost. Knows frames, not what they mean to a workspace.
"""

import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator

from sandbox.errors import (
    FileDenied,
    FileError,
    FileExists,
    FileMissing,
    FileWrongType,
    SandboxLost,
)
from sandbox.guest import wire
from sandbox.link.refused_programs import programs

Value = int | bytes | None | list["Value"]

_RECEIVE_BYTES = 1 << 18
_HEADER_BYTES = 8
_STDOUT = 1
_STDERR_LIMIT = 4096
_ANSWER_TIMEOUT_S = 60.0
"""For a request that is no command, and between its pieces: beyond it the guest counts as lost."""
_STREAM_TIMEOUT_S = 900.0
"""For all pieces of one answer: a guest that drips or repeats itself must not hold an export up."""
_TICK_S = 0.25


class GuestLink:
    """One stream to one guest."""

    def __init__(
        self,
        stream: socket.socket,
        *,
        answer_timeout_s: float = _ANSWER_TIMEOUT_S,
        stream_timeout_s: float = _STREAM_TIMEOUT_S,
    ) -> None:
        self._stream = stream
        self._answer_timeout_s = answer_timeout_s
        self._stream_timeout_s = stream_timeout_s
        self._frames = wire.FrameReader()
        self._pending: deque[list[Value]] = deque()
        self._raw = bytearray()
        self._payload_left = 0
        self._payload_kind = 0
        self._stderr = b""
        self._number = 0
        self._buffer = bytearray(_RECEIVE_BYTES)
        self.lost: str | None = None
        """Why the guest is given up; None while it is not."""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.close()

    # -- requests --------------------------------------------------------------------------

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def send(self, *value: Value) -> None:
        """Send one frame.

        Raises:
            FileError: it is larger than a frame can be.
            SandboxLost: the stream is closed.
        """
        if self.lost is not None:
            raise SandboxLost(self.lost)
        try:
            frame = wire.frame(value)
        except wire.WireError as error:
            raise FileError(f"can't be sent to the sandbox: {error}") from error
        try:
            self._stream.settimeout(self._answer_timeout_s)
            self._stream.sendall(frame)
        except OSError as error:
            raise self._give_up("the stream to the guest broke") from error

    def ask(self, name: str, *arguments: Value) -> list[Value]:
        """Make a request that has one answer; gives what follows its number.

        Raises:
            FileError: the guest's kernel refused it.
            SandboxLost: no answer, or one that is none.
        """
        answer: list[Value] = []
        for answer in self.stream(name, *arguments):  # noqa: B007 - the last one counts
            pass
        return answer

    def stream(self, name: str, *arguments: Value) -> Iterator[list[Value]]:
        """Make a request answered by any number of pieces, then `ok`, which comes last."""
        number = self.next_number()
        self.send(name.encode(), number, *arguments)
        end = time.monotonic() + self._stream_timeout_s
        until = time.monotonic() + self._answer_timeout_s
        while True:
            kind, *rest = self.receive(until=min(until, end))
            if not rest or rest[0] != number:
                # An answer to a request that was given up, such as an interrupted command.
                continue
            match kind:
                case b"ok":
                    yield rest[1:]
                    return
                case b"err":
                    raise file_error(rest[1:])
                case _:
                    until = time.monotonic() + self._answer_timeout_s
                    yield rest[1:]

    # -- receiving -------------------------------------------------------------------------

    def receive(self, *, until: float, on_tick: Callable[[], None] | None = None) -> list[Value]:
        """The next frame, a list that begins with its kind.

        Args:
            until: monotonic time after which the guest counts as lost.
            on_tick: called now and then while nothing comes.

        Raises:
            SandboxLost: time is up, the stream ended, or what came is no frame.
        """
        while not self._pending:
            if self.lost is not None:
                raise SandboxLost(self.lost)
            left = until - time.monotonic()
            if left <= 0:
                raise self._give_up("the guest does not answer")
            try:
                self._stream.settimeout(min(left, _TICK_S))
                count = self._stream.recv_into(self._buffer)
            except TimeoutError:
                if on_tick is not None:
                    on_tick()
                continue
            except OSError as error:
                raise self._give_up("the stream to the guest broke") from error
            if not count:
                said = self._stderr.decode("utf-8", "replace").strip()
                raise self._give_up(f"the guest ended{': ' + said if said else ''}")
            self._take(memoryview(self._buffer)[:count])
        return self._pending.popleft()

    def _take(self, data: memoryview) -> None:
        """Undo the engine's multiplexing: 8 bytes of header (kind, length) before each piece."""
        if not self._raw and self._payload_left >= len(data):
            self._deliver(data)  # the common case for large output: all of one piece
        else:
            self._raw += data
            raw = memoryview(bytes(self._raw))
            at = 0
            while at < len(raw):
                if not self._payload_left:
                    if len(raw) - at < _HEADER_BYTES:
                        break
                    self._payload_kind = raw[at]
                    self._payload_left = int.from_bytes(raw[at + 4 : at + 8], "big")
                    at += _HEADER_BYTES
                    continue
                piece = raw[at : at + self._payload_left]
                at += len(piece)
                self._deliver(piece)
            self._raw = bytearray(raw[at:])
        try:
            values = list(self._frames)
        except wire.WireError as error:
            raise self._give_up(f"the guest sent what is no frame ({error})") from error
        for value in values:
            if not isinstance(value, list) or not value:
                raise self._give_up("the guest sent a frame that is no answer")
            self._pending.append(value)

    def _deliver(self, piece: memoryview) -> None:
        self._payload_left -= len(piece)
        if self._payload_kind == _STDOUT:
            self._frames.feed(piece)
        else:
            self._stderr = (self._stderr + bytes(piece))[-_STDERR_LIMIT:]

    def give_up(self, why: str) -> None:
        """Ask this guest nothing any more."""
        self.lost = self.lost or why

    def _give_up(self, why: str) -> SandboxLost:
        self.lost = why
        return SandboxLost(why)


def file_error(rest: list[Value]) -> FileError:
    """An `err` answer as an exception; what a lying guest put there is shown, never used."""
    number = rest[0] if rest and isinstance(rest[0], int) else 0
    reason = rest[1] if len(rest) > 1 and isinstance(rest[1], bytes) else b"refused"
    text = reason[:200].decode("utf-8", "replace")
    match number:
        case 2:
            return FileMissing(text)
        case 17:
            return FileExists(text)
        case 1 | 13 | 18 | 30:
            denied = FileDenied(text)
            if len(rest) > 2 and isinstance(rest[2], list):
                with contextlib.suppress(ValueError):
                    denied.refused = programs(rest[2])
            return denied
        case 20 | 21 | 22:
            return FileWrongType(text)
        case _:
            return FileError(text)
