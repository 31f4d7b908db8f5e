"""Time that passes only when everybody waits: hours of a batch in a moment, the same each time.

Each worker is a thread, and one of them runs at a time: the one whose wait is over first.
"""

import heapq
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from agent.models.rate_limit import RateWindow, RequestEnd, ServiceHealth


class VirtualTime:
    """Calling it gives the seconds that have passed."""

    def __init__(self) -> None:
        self._now = 0.0
        self._count = 0
        self._waiting: list[tuple[float, int, threading.Semaphore]] = []
        self._all_wait = threading.Semaphore(0)
        self._workers: set[threading.Thread] = set()

    def __call__(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        """For a worker; for a thread that is none, the time just passes."""
        if threading.current_thread() not in self._workers:
            self._now += seconds
            return
        turn = threading.Semaphore(0)
        self._count += 1
        heapq.heappush(self._waiting, (self._now + seconds, self._count, turn))
        self._all_wait.release()
        turn.acquire()

    def run(self, workers: Sequence[Callable[[], None]]) -> None:
        """Until all are done. What one raises ends it alone."""
        threads = [threading.Thread(target=self._worker(work), daemon=True) for work in workers]
        self._workers.update(threads)
        for thread in threads:
            thread.start()
            self._all_wait.acquire()
        while self._waiting:
            self._now, _, turn = heapq.heappop(self._waiting)
            turn.release()
            self._all_wait.acquire()
        for thread in threads:
            thread.join()

    def _worker(self, work: Callable[[], None]) -> Callable[[], None]:
        def begun() -> None:
            try:
                self.sleep(0.0)
                work()
            finally:
                self._all_wait.release()

        return begun


class VirtualRate:
    """The rate as a process far away asks for it: again and again, in time that is not real."""

    def __init__(self, time: VirtualTime, window: RateWindow) -> None:
        self.time = time
        self.window = window

    def admit(self, broken_off: Callable[[], bool]) -> int | None:
        while not broken_off():
            number = self.window.admit(self.time())
            if number is not None:
                return number
            self.time.sleep(max(0.001, min(1.0, self.window.opens_in(self.time()))))
        return None

    def accepted(self, number: int) -> None:
        self.window.accepted(number)

    def ended(self, number: int, how: RequestEnd, asked_s: float | None = None) -> ServiceHealth:
        return self.window.ended(number, how, self.time(), asked_s)


class VirtualWait:
    """Nobody breaks it off."""

    def __init__(self, time: VirtualTime) -> None:
        self._time = time

    def stopped(self) -> AbstractContextManager[None]:
        return nullcontext()

    def broken_off(self) -> bool:
        return False

    def end(self) -> None:
        """Never asked for."""

    def sleep(self, seconds: float) -> None:
        self._time.sleep(seconds)
