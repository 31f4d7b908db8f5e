"""What the guest was told at the start, and its event loop."""

from __future__ import annotations

import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.guest import disk, services
    from sandbox.guest.protocol import GuestSetup


_STEP_NS = 10_000_000
"""What the two clocks may differ by reading one after the other, and what files' clock lags."""


class WallClock:
    """Notices that the clock by which files get their times was set back.

    What changes afterwards may have a time from before the sandbox began.
    """

    def __init__(self, read: Callable[[], tuple[int, int]] | None = None) -> None:
        """`read` gives the wall clock and one that is never set, in ns."""
        self._read = read or _clocks
        wall, steady = self._read()
        self._ahead = wall - steady
        self._back = 0

    def look(self) -> None:
        wall, steady = self._read()
        self._back = max(self._back, self._ahead - (wall - steady))

    def since(self, since_ns: int) -> int:
        """The earliest time that something can have that changed since then; 1: any."""
        self.look()
        if self._read()[0] < since_ns:
            return 1  # set back before we began, nobody knows by how much
        return since_ns if self._back < _STEP_NS else max(since_ns - self._back - _STEP_NS, 1)


def _clocks() -> tuple[int, int]:
    return time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class GuestConfig:
    """What the host said in its first words, and what was opened before the restriction."""

    def __init__(self, setup: GuestSetup) -> None:
        self.workspace = setup.workspace
        self.environment = {variable.name: variable.value for variable in setup.environment}
        self.keep_bytes = setup.keep_bytes
        self.executable: list[bytes] = []  # none where the kernel enforces nothing
        self.disk: disk.Disk
        self.services: services.Services | None = None
        self.oom_adjust = _open_or_none(["/proc/self/oom_score_adj"], os.O_RDWR)
        self.oom_counter = _open_or_none(
            ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"],
            os.O_RDONLY,
        )
        self.pids_counter = _open_or_none(
            ["/sys/fs/cgroup/pids.events", "/sys/fs/cgroup/pids/pids.events"], os.O_RDONLY
        )
        self.since_ns = 0
        self.clock = WallClock()
        self.layered: frozenset[int] = frozenset()  # devices; see `files.is_untouched`
        self.lifetime_s = setup.lifetime_s
        self.end = 0.0  # monotonic; the leader ends everything then

    def prolong(self) -> None:
        """Live for a whole lifetime from now."""
        self.end = time.monotonic() + self.lifetime_s


def _open_or_none(paths: list[str], flags: int) -> int:
    for path in paths:
        try:
            return os.open(path, flags | os.O_CLOEXEC)
        except OSError:
            continue
    return -1


class EventLoop:
    """select.poll with a handler for each descriptor."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[], object]] = {}

    def register(self, handle: int, events: str, handler: Callable[[], object]) -> None:
        self._handlers[handle] = handler
        self._poll.register(handle, select.POLLIN if events == "r" else select.POLLOUT)

    def unregister(self, handle: int) -> None:
        if self._handlers.pop(handle, None) is not None:
            self._poll.unregister(handle)

    def turn(self, timeout_s: float | None) -> None:
        timeout_ms = None if timeout_s is None else max(int(timeout_s * 1000) + 1, 0)
        for handle, _ in self._poll.poll(timeout_ms):
            handler = self._handlers.get(handle)
            if handler is not None:
                handler()
