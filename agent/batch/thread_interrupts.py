"""The interrupts of a run in a worker thread, where no signal raises.

Signals reach the main thread alone. It tells each run, and the run raises by itself, where it waits
or between two steps.
"""

import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from agent.interrupts import NOW, Interrupts, SignalReceived, TimeUp
from sandbox.pool.threads import BackgroundThreads

Heard = TypeVar("Heard")
T = TypeVar("T")
_SHORTEST_S = 0.1
"""Before the clock is looked at again."""


class ThreadInterrupts(Interrupts):
    """Those of a run in a worker thread. Any other thread may call `receive`.

    The first lets the step that goes on come to its end, an answer of the model included: it is
    paid for. The second ends it, and the run exports at once. There is no third: who wants to leave
    the export behind ends the process.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bell = threading.Condition()
        self._cancels: list[Callable[[], None]] = []
        self._waiting: BackgroundThreads | None = None
        """One thread to have work done in: to begin another costs each first word 50 us."""

    def receive(self, name: str) -> None:
        """Count it, and break off what waits."""
        with self._bell:
            self._count(name)
            self._counted = min(self._counted, NOW)
            if self.at_once:
                for cancel in self._cancels:
                    cancel()
            self._bell.notify_all()

    def _forget(self) -> None:
        with self._bell:
            super()._forget()

    def _judge(self) -> None:
        """Nothing raises between two steps."""

    def _raise_at(self, level: int) -> None:
        if self.level >= level:
            raise SignalReceived(self.name)

    @contextmanager
    def immediate(self) -> Generator[None]:
        """Inside, nothing raises: at its beginning one that came before, at its end the second."""
        self._raise_at(1)
        yield
        self._raise_at(NOW)

    @contextmanager
    def calling(self, cancel: Callable[[], None], *, up_to_s: float) -> Generator[None]:  # noqa: ARG002
        """Inside (a call to the sandbox), the second calls `cancel` from its own thread."""
        with self._bell:
            self._cancels.append(cancel)
            if self.at_once:
                cancel()
        try:
            yield
        finally:
            with self._bell:
                self._cancels.remove(cancel)

    def ended_by(self, cancel: Callable[[], None]) -> AbstractContextManager[None]:
        """Inside, the second calls `cancel`, as in `calling`."""
        return self.calling(cancel, up_to_s=0.0)

    def awaited(
        self,
        work: Callable[[Callable[[Heard], None]], T],
        listener: Callable[[Heard], None],
        *,
        left_s: Callable[[], float],
    ) -> T:
        """As for others, in a thread beside: nothing else can end what waits for a network.

        Where it is broken off, the listener hears nothing more, and what the work still hears ends
        it. What waits for other runs looks by itself whether it is to stop: `RunShare`.
        """
        self._raise_at(1)
        gate = threading.Lock()
        over = False
        answer: Future[T] = Future()

        def gated(heard: Heard) -> None:
            with gate:
                if over:
                    raise SignalReceived(self.name or "the clock")
                listener(heard)

        def finish() -> None:
            try:
                answer.set_result(work(gated))
            except BaseException as error:  # noqa: BLE001 - raised again by `result`
                answer.set_exception(error)
            with self._bell:
                self._bell.notify_all()

        thread, self._waiting = self._waiting or BackgroundThreads(1, name="awaited"), None
        thread.submit(finish)
        with self._bell:
            while not (answer.done() or self.at_once) and (seconds := left_s()) > 0:
                # Time that a run waits for others is none of its own, and then as much is left.
                self._bell.wait(max(seconds, _SHORTEST_S))
        with gate:
            over = True
        if answer.done():
            self._waiting = thread
            return answer.result()
        self._raise_at(NOW)
        raise TimeUp
