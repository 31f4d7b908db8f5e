"""What a signal does to a command that has a container of its own."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Generator
from types import FrameType
from typing import Protocol, TypeVar


class Closeable(Protocol):
    def close(self) -> object:
        """Remove it."""


Opened = TypeVar("Opened", bound=Closeable)


class SignalGuard:
    """SIGINT, SIGTERM and SIGHUP leave by one door: the container is removed on the way.

    While it is being opened the first one waits: one that struck between the engine's making a
    container and our knowing of it would leave it behind. The second does not wait.
    """

    def __init__(self) -> None:
        self._opening = False
        self._struck = False

    def opened(self, make: Callable[[], Opened]) -> Opened:
        """What this opens. A signal that waited strikes then, and it is closed."""
        self._opening = True
        try:
            made = make()
        finally:
            self._opening = False
        if self._struck:
            made.close()
            raise KeyboardInterrupt
        return made

    @contextlib.contextmanager
    def installed(self) -> Generator[None]:
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._handle) for number in numbers}
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)

    def _handle(self, _number: int, _frame: "FrameType | None") -> None:
        if not self._opening or self._struck:
            raise KeyboardInterrupt
        self._struck = True
        words = b"\nmoonpool: ending when the container is there; again: at once\n"
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), words)
