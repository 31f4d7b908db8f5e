"""The host's end of the stream to a guest: requests out, answers in, nothing believed.

Owns the engine's stream multiplexing, the bounds on what a guest may send, and the moment at which
a guest counts as lost. Knows messages, not what they mean to a workspace. Threads may ask at once:
whichever of them finds nobody reading reads for all.
"""

import contextlib
import itertools
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from struct import Struct
from typing import TypeVar

from sandbox.engine.stream import ByteStream
from sandbox.errors import (
    FileDenied,
    FileError,
    FileExists,
    FileMissing,
    FileWrongType,
    SandboxLost,
)
from sandbox.guest import message, wire
from sandbox.guest.message import GuestAnswer, HostRequest
from sandbox.guest.protocol import REFUSED_LIMIT, Done, RequestFailed


def refused_programs(paths: Sequence[bytes]) -> tuple[str, ...]:
    """Absolute paths; bytes that are no UTF-8 as ``\\xff``.

    Raises:
        ValueError: they are none, or too many.
    """
    if not paths:
        return ()
    if len(paths) > REFUSED_LIMIT:
        raise ValueError("too many")
    if any(not path.startswith(b"/") or b"\0" in path for path in paths):
        raise ValueError("no path")
    if any(len(path) > _LONGEST_PATH for path in paths):
        raise ValueError("no path of this kernel")
    return tuple(path.decode("utf-8", "backslashreplace") for path in paths)


A = TypeVar("A", bound=GuestAnswer)

_RECEIVE_BYTES = 1 << 18
_FIRST_BYTES = 1 << 14
"""What is received at a time at first: most guests never say more, and there may be hundreds."""
_HEADER = Struct(">B3xI")
_STDOUT = 1
_STDERR_LIMIT = 4096
_LONGEST_PATH = 4096
_ANSWER_TIMEOUT_S = 60.0
"""For a request that is no command, and between its pieces: beyond it the guest counts as lost."""
_STREAM_TIMEOUT_S = 900.0
"""For all pieces that belong together: a guest that drips or repeats itself holds no export up."""
_TICK_S = 0.25
_UNTAKEN_BYTES = 32 << 20
"""How much may have come for one request and not be taken before no other thread reads on for it: a
thread that is slow to take has the guest wait, as a pipe would."""


class _Inbox(deque[tuple[GuestAnswer, int]]):
    """What has come for one request and is not taken yet, each with its size."""

    # Bytes, each counted by one thread: the one that reads, and the one that asked.
    came = taken = 0

    @property
    def bytes(self) -> int:
        return self.came - self.taken


class GuestLink:
    """One stream to one guest."""

    def __init__(
        self,
        stream: socket.socket,
        *,
        answer_timeout_s: float = _ANSWER_TIMEOUT_S,
        stream_timeout_s: float = _STREAM_TIMEOUT_S,
    ) -> None:
        self._stream = ByteStream(stream)
        self._answer_timeout_s = answer_timeout_s
        self._stream_timeout_s = stream_timeout_s
        self._frames = wire.FrameReader()
        # What comes for no request that is open; None where it is passed over.
        self._rest: deque[tuple[int, GuestAnswer]] | None = deque()
        self._header = b""
        self._payload_left = 0
        self._payload_kind = 0
        self._stderr = b""
        self._numbers = itertools.count(1)
        self._buffer = memoryview(bytearray(_FIRST_BYTES))
        self._inboxes: dict[int, _Inbox] = {}
        self._reading = threading.Lock()
        """Held by the thread that reads for all."""
        self._changed = threading.Condition()
        """Told when something came for somebody, and nobody reads."""
        self._waiting = 0
        """Threads that wait for the one that reads."""
        self.lost: str | None = None
        """Why the guest is given up; None while it is not."""

    def close(self) -> None:
        self._stream.close()

    # -- requests --------------------------------------------------------------------------

    def request(self) -> int:
        """The number of a request to be sent; answers to it are kept until it is `end`ed."""
        self._rest = None
        number = next(self._numbers)
        self._inboxes[number] = _Inbox()
        return number

    def end(self, number: int) -> None:
        """Pass over what still comes for a request."""
        del self._inboxes[number]

    def send(self, request: HostRequest, *, number: int | None = None) -> int:
        """Send a request; gives its number, the next one unless said.

        Raises:
            FileError: it is larger than a message can be.
            SandboxLost: the stream is closed.
        """
        if self.lost is not None:
            raise SandboxLost(self.lost)
        number = next(self._numbers) if number is None else number
        try:
            frames = message.request_frames(number, request)
        except wire.WireError as error:
            raise FileError(f"can't be sent to the sandbox: {error}") from error
        try:
            self._stream.send(frames, within_s=self._answer_timeout_s)
        except OSError as error:
            raise self.give_up("the stream to the guest broke") from error
        return number

    def ask(self, request: HostRequest, kind: type[A]) -> A:
        """Make a request that has one answer, of a kind.

        Raises:
            FileError: the guest's kernel refused it.
            SandboxLost: no answer, or another one.
        """
        number = self.request()
        try:
            self.send(request, number=number)
            answer = self.answer_to(number, until=time.monotonic() + self._answer_timeout_s)
        finally:
            self.end(number)
        if isinstance(answer, kind):
            return answer
        raise self.refused(answer, request)

    def stream_end(self) -> float:
        """Monotonic time by which all pieces of an answer, or several in a row, must have come."""
        return time.monotonic() + self._stream_timeout_s

    def stream(
        self, request: HostRequest, *kinds: type[A], end: float | None = None
    ) -> Iterator[A]:
        """Make a request answered by any number of pieces of these kinds, then `Done`.

        Args:
            end: by `stream_end`, for several requests together; None: for this one alone.

        Raises:
            FileError, SandboxLost: as `ask`.
        """
        end = self.stream_end() if end is None else end
        number = self.request()
        try:
            self.send(request, number=number)
            while True:
                until = min(time.monotonic() + self._answer_timeout_s, end)
                answer = self.answer_to(number, until=until)
                if isinstance(answer, Done):
                    return
                if not isinstance(answer, kinds):
                    raise self.refused(answer, request)
                yield answer
        finally:
            self.end(number)

    def refused(self, answer: GuestAnswer, request: HostRequest) -> FileError | SandboxLost:
        """The error for an answer that is not what was asked for: what the guest says of its
        failure, or that it is given up."""
        if isinstance(answer, RequestFailed):
            return file_error(answer)
        return self.nonsense(answer, request)

    def nonsense(self, answer: GuestAnswer, request: HostRequest) -> SandboxLost:
        """The error for an answer that no honest guest gives; it is given up."""
        return self.give_up(
            f"the guest answered {type(request).__name__} with {type(answer).__name__}"
        )

    # -- receiving -------------------------------------------------------------------------

    def receive(self, *, until: float) -> tuple[int, GuestAnswer]:
        """The next answer, and the number of the request that it is to: for one thread alone.

        Args:
            until: monotonic time after which the guest counts as lost.

        Raises:
            SandboxLost: time is up, the stream ended, or what came is no message.
        """
        rest = self._rest = self._rest or deque()
        while not rest:
            self._read(until)
        return rest.popleft()

    def answer_to(
        self, number: int, *, until: float, on_tick: Callable[[], None] | None = None
    ) -> GuestAnswer:
        """The next answer to a request that is open (`request`); errors as `receive`.

        Answers to requests that were given up, such as an interrupted command, are passed over.

        Args:
            until: as for `receive`.
            on_tick: called now and then, whatever comes meanwhile: a flood can't keep it off.
        """
        inbox = self._inboxes[number]
        while not inbox:
            full = len(self._inboxes) > 1 and self._full()
            if not full and self._reading.acquire(blocking=False):
                self._read_for_all(until)
            else:
                self._await_reader(inbox, until)
            if on_tick is not None:
                on_tick()
        answer, size = inbox.popleft()
        inbox.taken += size
        return answer

    def _read_for_all(self, until: float) -> None:
        """Read once; the turn to do so is ours and ends with that."""
        try:
            self._read(until)
        finally:
            self._reading.release()
            if self._waiting:
                with self._changed:
                    self._changed.notify_all()

    def _await_reader(self, inbox: _Inbox, until: float) -> None:
        """Wait for a moment while another thread reads, or is to take what came for it."""
        left = self._left(until)
        with self._changed:
            # Counted before the look: a reader that ends after it sees us, and tells.
            self._waiting += 1
            if not inbox and (self._reading.locked() or self._full()):
                self._changed.wait(min(left, _TICK_S))
            self._waiting -= 1

    def _full(self) -> bool:
        """Whether a thread has much to take before more may come."""
        return any(inbox.bytes > _UNTAKEN_BYTES for inbox in list(self._inboxes.values()))

    def _left(self, until: float) -> float:
        """Seconds that are left. Raises `SandboxLost` where none are, or the guest is lost."""
        if self.lost is not None:
            raise SandboxLost(self.lost)
        left = until - time.monotonic()
        if left <= 0:
            raise self.give_up("the guest does not answer")
        return left

    def _read(self, until: float) -> None:
        """Wait for a moment, and take what comes."""
        self._left(until)
        try:
            count = self._stream.receive(self._buffer)
        except OSError as error:
            raise self.give_up("the stream to the guest broke") from error
        if count is None:
            return
        if not count:
            said = self._stderr.decode("utf-8", "replace").strip()
            raise self.give_up(f"the guest ended{': ' + said if said else ''}")
        self._take(self._buffer[:count])
        if count == len(self._buffer) < _RECEIVE_BYTES:
            self._buffer = memoryview(bytearray(_RECEIVE_BYTES))

    def _take(self, data: memoryview) -> None:
        """Undo the engine's multiplexing, 8 bytes of header (kind, length) before each piece, and
        hand out what is whole."""
        if self._header:
            data, self._header = memoryview(self._header + bytes(data)), b""
        at = 0
        try:
            while at < len(data):
                if not self._payload_left:
                    if len(data) - at < _HEADER.size:
                        self._header = bytes(data[at:])
                        return
                    self._payload_kind, self._payload_left = _HEADER.unpack_from(data, at)
                    at += _HEADER.size
                piece = data[at : at + self._payload_left]
                at += len(piece)
                self._payload_left -= len(piece)
                if self._payload_kind == _STDOUT:
                    for frame in self._frames.read(piece):
                        number, answer = message.read(frame, GuestAnswer)
                        inbox = self._inboxes.get(number)
                        if inbox is not None:
                            inbox.came += self._frames.size
                            inbox.append((answer, self._frames.size))
                        elif self._rest is not None:
                            self._rest.append((number, answer))
                else:
                    self._stderr = (self._stderr + bytes(piece))[-_STDERR_LIMIT:]
        except (wire.WireError, message.ProtocolError) as error:
            what = "frame" if isinstance(error, wire.WireError) else "answer"
            raise self.give_up(f"the guest sent what is no {what} ({error})") from error

    def give_up(self, why: str) -> SandboxLost:
        """Ask this guest nothing any more; gives the error that says why."""
        self.lost = self.lost or why
        return SandboxLost(why)


def file_error(failed: RequestFailed) -> FileError:
    """A refusal as an exception; what a lying guest put there is shown, never used."""
    text = failed.reason[:200].decode("utf-8", "replace")
    match failed.errno:
        case 2:
            return FileMissing(text)
        case 17:
            return FileExists(text)
        case 1 | 13 | 18 | 30:
            denied = FileDenied(text)
            with contextlib.suppress(ValueError):
                denied.refused = refused_programs(failed.refused)
            return denied
        case 20 | 21 | 22:
            return FileWrongType(text)
        case _:
            return FileError(text)
