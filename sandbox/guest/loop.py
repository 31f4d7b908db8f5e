"""What the guest was told at the start, and its event loop."""

from __future__ import annotations

import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.guest import disk


class GuestConfig:
    """What the host said in its first frame, and what was opened before the restriction."""

    def __init__(self) -> None:
        self.workspace = b""
        self.environment: dict[bytes, bytes] = {}
        self.keep = 0
        self.writable: list[bytes] = []
        self.executable: list[bytes] = []  # none where the kernel enforces nothing
        self.disk: disk.Disk
        self.oom_adjust = -1
        self.oom_counter = -1
        self.pids_counter = -1
        self.since_ns = 0
        self.lifetime_s = 0.0
        self.end = 0.0  # monotonic; the leader ends everything then


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
