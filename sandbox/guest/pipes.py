"""The guest's ends of a command's pipes: output kept head and tail, input fed, state read.

Owns the bounds on what is kept. Refuses to know how a command is started or ended.
"""

from __future__ import annotations

import os

from sandbox.guest.protocol import SCRATCH, Printed, StreamEnd
from sandbox.guest.wire import PIECE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Print = Callable[[int, Printed], None]

_SCRATCH_MODE = 0o700
_READ = 1 << 16
_SPILL_LIMIT = 64 << 20
_SPILLS_LIMIT = 256 << 20
"""How much spilled output of all commands is kept, in bytes; the oldest goes first."""
_SPILL_SHARE = 4
"""One spill takes at most one part in so many of what is free where it goes."""
_STATE_LIMIT = 1 << 18


def make_scratch() -> None:
    """See to it that the scratch directory is one."""
    try:
        os.mkdir(SCRATCH, _SCRATCH_MODE)
    except FileExistsError:
        if os.lstat(SCRATCH).st_mode & 0o170000 != 0o040000:
            os.unlink(SCRATCH)
            os.mkdir(SCRATCH, _SCRATCH_MODE)


def create(path: bytes, flags: int = 0) -> int:
    """Make a file in the scratch directory, open for writing.

    Commands run as our user and know the names: what they planted there is removed and never
    opened. A named pipe would stop us in the open, a link have us write elsewhere.
    """
    make_scratch()
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    flags |= os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o600)


class Stream:
    """One output stream of a command: head sent as it comes, tail kept, all of it spilled."""

    total = 0
    spilled = 0
    spill_limit = _SPILL_LIMIT

    def __init__(self, command: int, number: int, handle: int, keep: int) -> None:
        self.command = command
        self.number = number
        self.handle = handle
        self.tail_size = min(keep // 2, PIECE)  # of both streams it goes into one frame
        self.head_left = keep - self.tail_size
        self.head = bytearray()  # what was sent
        self.tail = bytearray()
        self.spill: int | None = None  # below 0: it can't be, or not any more
        self.spill_path: bytes | None = None

    def receive(self, send: Print) -> bool:
        """Take what is there; False where nothing is, or the end, at which `handle` is closed."""
        try:
            data = os.read(self.handle, _READ)
        except BlockingIOError:
            return False
        if not data:
            os.close(self.handle)
            self.handle = -1
            return False
        self._take(data, send)
        return True

    def _take(self, data: bytes, send: Print) -> None:
        self.total += len(data)
        if self.head_left:
            piece = data[: self.head_left]
            self.head_left -= len(piece)
            self.head += piece
            send(self.command, Printed(stream=self.number, data=piece))
            data = data[len(piece) :]
            if not data:
                return
        self.tail += data
        if self.spill is not None:
            self._spill(self.spill, data)
        elif len(self.tail) > self.tail_size:
            self._open_spill()
        if len(self.tail) > 2 * self.tail_size + _READ:
            del self.tail[: len(self.tail) - self.tail_size]

    def _open_spill(self) -> None:
        path = SCRATCH + b"/out-%d-%d" % (self.command, self.number)
        self.spill = -1
        try:
            self.spill = create(path)
            place = os.statvfs(SCRATCH)
        except OSError:
            return
        self.spill_limit = min(_SPILL_LIMIT, place.f_bavail * place.f_frsize // _SPILL_SHARE)
        self.spill_path = path
        self._spill(self.spill, bytes(self.head + self.tail))

    def _spill(self, handle: int, data: bytes) -> None:
        left = self.spill_limit - self.spilled
        if handle < 0 or left <= 0:
            return
        try:
            self.spilled += os.write(handle, data[:left])
        except OSError:
            os.close(handle)
            self.spill = -1

    def finish(self) -> StreamEnd | None:
        """Close; gives what the host needs beside the head, None where there was nothing."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1
        if not self.total:
            return None
        if self.spill is not None and self.spill >= 0:
            os.close(self.spill)
        if not self.spilled:
            self.spill_path = None  # there was no space for any of it
        # Not [-size:], which for 0 is everything.
        start = max(len(self.tail) - self.tail_size, 0) if self.spill is not None else 0
        return StreamEnd(
            tail=bytes(self.tail[start:]),
            total_bytes=self.total,
            spill=self.spill_path,
            spilled_bytes=self.spilled,
        )


class Spills:
    """The files of spilled output that are kept."""

    def __init__(self) -> None:
        self._kept: list[tuple[bytes, int]] = []

    def keep(self, stream: Stream) -> None:
        """Note what a finished stream spilled; where all take too much, the oldest are removed."""
        if stream.spill_path is None:
            return
        self._kept.append((stream.spill_path, stream.spilled))
        while len(self._kept) > 1 and sum(size for _, size in self._kept) > _SPILLS_LIMIT:
            try:
                os.unlink(self._kept.pop(0)[0])
            except OSError:
                continue


class RunningCommand:
    """A process that the guest started, with its ends of the pipes."""

    script = b""  # its beginning
    pid = 0
    pidfd = -1
    state = -1
    state_data = b""
    stdin = -1
    stdin_data = b""
    ending = b"exited"
    background = False
    keeps = False  # what it leaves running

    def __init__(self, number: int) -> None:
        self.number = number
        self.out: Stream  # of a foreground command only, as `err`
        self.err: Stream
        self.deadline: float | None = None
        self.status: int | None = None

    def read_state(self) -> None:
        """Take what the shell printed of its state; `state` is closed at the end of it."""
        while self.state >= 0:
            try:
                data = os.read(self.state, _READ)
            except BlockingIOError:
                return
            self.state_data += data
            if not data or len(self.state_data) > _STATE_LIMIT:
                os.close(self.state)
                self.state = -1

    def feed(self) -> bool:
        """Write what standard input takes now; False when there is no more to write."""
        try:
            written = os.write(self.stdin, self.stdin_data[:_READ])
            self.stdin_data = self.stdin_data[written:]
        except BlockingIOError:
            return True
        except OSError:
            self.stdin_data = b""
        return bool(self.stdin_data)
