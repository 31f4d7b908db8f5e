"""Signals as requests: once to end well, twice to end now, three times to drop it all.

Of SIGINT, SIGTERM and SIGHUP. One that strikes in the middle of a call to the sandbox must not tear
its stream, so the first only sets a mark there; while a model is awaited there is nothing to tear,
and it breaks off at once. The second raises wherever the run is, except in the export; the third
there too. While the record and the screen are written (`held`) a signal waits: a line is whole or
not there.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NOW = 2
_FIRST = b"\nmoonpool: finishing the current step; once more to export at once\n"
_DROP = 3
_SHORTEST_S = 0.001
"""A timer of 0 would never ring."""


class Stop(BaseException):
    """Raised by a signal. A BaseException, so that no ``except Exception`` swallows it."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)


class TimeUp(BaseException):
    """Raised by the clock (`Interrupts.within`). A BaseException for the same reason."""


class Interrupts:
    """The signals a run has got. Use `installed` in the main thread; a test calls `receive`."""

    def __init__(self) -> None:
        self.count = 0
        self.name = ""
        self._immediate = False
        self._shielded = False
        self._held = False
        self._late = False

    @property
    def requested(self) -> bool:
        return self.count > 0

    def receive(self, name: str) -> None:
        self.count += 1
        self.name = name
        if not self._held or self.count >= _DROP:
            self._judge()

    def _judge(self) -> None:
        now = not self._shielded and (self._immediate or self.count >= _NOW)
        if now or self.count >= _DROP:
            raise Stop(self.name)

    @contextmanager
    def immediate(self) -> Generator[None]:
        """Inside, the first signal raises; so does one that came before."""
        self._immediate = True
        try:
            if self.requested:
                raise Stop(self.name)
            yield
        finally:
            self._immediate = False

    @contextmanager
    def within(self, seconds: float) -> Generator[None]:
        """As `immediate`, and TimeUp raises in it after so many seconds.

        Only in the main thread: no other can be interrupted while it waits.
        """
        main = threading.current_thread() is threading.main_thread()
        if not main or not hasattr(signal, "setitimer"):
            with self.immediate():
                yield
            return

        def ring(_number: int, _frame: FrameType | None) -> None:
            self._late = True
            if not self._held:
                raise TimeUp

        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, max(seconds, _SHORTEST_S))
        try:
            with self.immediate():
                yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            self._late = False

    @contextmanager
    def shielded(self) -> Generator[None]:
        """Inside (the export), only the third signal raises."""
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False

    @contextmanager
    def held(self) -> Generator[None]:
        """Inside, a signal waits for the end of the block; only the third raises at once."""
        if self._held:
            yield
            return
        self._held = True
        before = self.count
        try:
            yield
        finally:
            self._held = False
        if self.count != before:
            self._judge()
        if self._late:
            raise TimeUp

    @contextmanager
    def installed(self) -> Generator[None]:
        def handle(number: int, _frame: FrameType | None) -> None:
            if not self.requested and not self._immediate:
                # Not by print: the signal may have struck in the middle of one.
                with contextlib.suppress(OSError):
                    os.write(sys.stderr.fileno(), _FIRST)
            self.receive(signal.Signals(number).name)

        before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in before:
            signal.signal(number, handle)
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)
