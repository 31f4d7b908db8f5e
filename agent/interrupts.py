"""Signals as requests: once to end well, twice to end now, three times to drop the export too.

SIGINT counts up. SIGTERM and SIGHUP mean twice, however often they come: a supervisor gives some
seconds before it kills, and a terminal that is gone can't say it again.

In one request of a chat SIGINT is about the step alone: once to end it, twice to break it off, and
it is forgotten when the request is over. The others end the chat, as they end a run.

A signal raises only where there is nothing to tear: while a model, an engine or a person is waited
for. In the middle of a call to the sandbox the second one asks the guest to end the command, whose
stream stays whole, and the third raises. The export goes on until the third. Everywhere else a
signal is counted, and the run looks at the count before each step. While the record is written
nothing raises at all: a line is whole or not there.

A run in a thread beside the main one gets no signal: `agent.batch.thread_interrupts`.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from enum import Enum, auto
from types import FrameType
from typing import TypeVar

from policies.errors import duration

Heard = TypeVar("Heard")
T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NOW = 2
"""The level at which nobody waits for what takes long any more."""
_DROP = 3
_SHORTEST_S = 0.001
"""A timer of 0 would never ring."""


class SignalReceived(BaseException):
    """Raised by a signal. A BaseException, so that no ``except Exception`` swallows it."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)


class _InterruptPoint(Enum):
    """What the run is at, by what may be broken off there."""

    STEPS = auto()
    PROMPT = auto()
    WAITING = auto()
    CALLING = auto()
    EXPORTING = auto()


class TimeUp(BaseException):
    """Raised by the clock (`Interrupts.within`). A BaseException for the same reason."""


class Interrupts:
    """The signals a run has got. Use `installed` in the main thread; a test calls `receive`."""

    def __init__(self) -> None:
        self._counted = 0
        self.name = ""
        self._where = _InterruptPoint.STEPS
        self._cancel: Callable[[], None] = lambda: None
        self._up_to_s = 0.0
        self._held = False
        self._writing = False
        self._late = False
        self._stepwise = False
        self.leaving = False
        """A signal came that ends a chat too."""

    @property
    def level(self) -> int:
        """0 none · 1 finish the call · 2 end now · 3 drop the export."""
        return max(self._counted, NOW if self.leaving else 0)

    @property
    def requested(self) -> bool:
        return self.level > 0

    @property
    def at_once(self) -> bool:
        """Nobody waits for what takes long any more."""
        return self.level >= NOW

    @property
    def broken_off(self) -> bool:
        """What was waited for may not have been heard out."""
        return self.level >= _DROP

    def receive(self, name: str) -> None:
        self._count(name)
        if self._writing or (self._held and self.level < _DROP):
            return
        self._judge()

    def _count(self, name: str) -> None:
        if name == "SIGINT":
            # In a chat nothing is to be exported yet, so the first means the command already.
            self._counted = min(max(self.level + 1, NOW if self._stepwise else 0), _DROP)
        else:
            self.leaving = True
        self.name = name

    def _judge(self) -> None:
        match self._where:
            case _InterruptPoint.WAITING | _InterruptPoint.PROMPT:
                raise SignalReceived(self.name)
            case _InterruptPoint.CALLING:
                if self.level >= _DROP:
                    raise SignalReceived(self.name)
                if self.level >= NOW:
                    self._cancel()
            case _InterruptPoint.EXPORTING:
                if self.level >= _DROP:
                    raise SignalReceived(self.name)
            case _InterruptPoint.STEPS:
                pass

    def unless_dropped(self) -> None:
        """Raise where the operator said, before the export, to leave it: the words said so too."""
        if self.level >= _DROP:
            raise SignalReceived(self.name)

    @contextmanager
    def immediate(self) -> Generator[None]:
        """Inside, the first signal raises; so does one that came before."""
        with self._at(_InterruptPoint.WAITING):
            if self.requested:
                raise SignalReceived(self.name)
            yield

    def ended_by(self, cancel: Callable[[], None]) -> AbstractContextManager[None]:  # noqa: ARG002
        """Around a wait inside `immediate` that `cancel` ends too: here a signal raises in it."""
        return contextlib.nullcontext()

    @contextmanager
    def prompting(self) -> Generator[None]:
        """As `immediate`, where a person is at the prompt: nothing is said of what happens."""
        with self._at(_InterruptPoint.PROMPT):
            if self.requested:
                raise SignalReceived(self.name)
            yield

    @contextmanager
    def request(self) -> Generator[None]:
        """Inside (one request of a chat, or a command of its person), SIGINT is about the step."""
        before, self._stepwise = self._stepwise, True
        self._forget()
        try:
            yield
        finally:
            self._forget()
            self._stepwise = before

    def _forget(self) -> None:
        """One assignment, so that a signal comes before it or behind it; `leaving` stays."""
        self._counted = 0

    @contextmanager
    def calling(self, cancel: Callable[[], None], *, up_to_s: float) -> Generator[None]:
        """Inside (a call to the sandbox), the second signal calls `cancel`, the third raises.

        Args:
            up_to_s: how long the call may take at most, for the words after the first signal.
        """
        self._cancel, self._up_to_s = cancel, up_to_s
        with self._at(_InterruptPoint.CALLING):
            if self.at_once:
                cancel()
            yield

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

    def awaited(
        self,
        work: Callable[[Callable[[Heard], None]], T],
        listener: Callable[[Heard], None],
        *,
        left_s: Callable[[], float],
    ) -> T:
        """What the work gives that was handed the listener, for as long as `within` lets it.

        Args:
            left_s: seconds that are left for it, whenever it is asked.
        """
        with self.within(left_s()):
            return work(listener)

    @contextmanager
    def shielded(self) -> Generator[None]:
        """Inside (the export), only the third signal raises."""
        with self._at(_InterruptPoint.EXPORTING):
            yield

    @contextmanager
    def _at(self, where: _InterruptPoint) -> Generator[None]:
        before, self._where = self._where, where
        try:
            yield
        finally:
            self._where = before

    @contextmanager
    def held(self) -> Generator[None]:
        """Inside (the screen), a signal waits for the end of the block; only the third raises."""
        if self._held:
            yield
            return
        self._held = True
        before = self.level
        try:
            yield
        finally:
            self._held = False
        if self.level != before:
            self._judge()
        if self._late:
            raise TimeUp

    @contextmanager
    def writing(self) -> Generator[None]:
        """Inside `held` (the record), no signal raises: not between a line and its digest."""
        before, self._writing = self._writing, True
        try:
            yield
        finally:
            self._writing = before

    @contextmanager
    def installed(self, *, until_exit: bool = False) -> Generator[None]:
        """Inside, the signals are received here.

        Args:
            until_exit: leave them without effect afterwards, for a process that is about to end: a
                late one would turn its exit code into a death by signal.
        """

        def handle(number: int, _frame: FrameType | None) -> None:
            known = self.level
            try:
                self.receive(signal.Signals(number).name)
            finally:
                if self.level != known and self._where is not _InterruptPoint.PROMPT:
                    # Not by print: the signal may have struck in the middle of one.
                    with contextlib.suppress(OSError):
                        os.write(sys.stderr.fileno(), f"\nmoonpool: {self._words()}\n".encode())

        before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in before:
            signal.signal(number, handle)
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, signal.SIG_IGN if until_exit else old)

    def _words(self) -> str:
        """What happens now, and what the next signal would do."""
        if self._stepwise and not self.leaving:
            again = "; again: at once, with everything that runs in the sandbox"
            return f"stopping{again}" if self.level < _DROP else "broken off"
        match min(self.level, _DROP), self._where:
            case 1, _InterruptPoint.CALLING:
                longest = duration(max(1, round(self._up_to_s)))
                return f"finishing the current command (up to {longest}); again: stop it now"
            case 1, _:
                return "finishing the current step, then exporting; again: at once"
            case 2, _InterruptPoint.CALLING:
                return "stopping the command and exporting; again: leave even the export"
            case 2, _:
                return "exporting at once; again: leave even the export"
            case _:
                return "leaving; the container stays, and `moonpool resume` gets at it"
