"""The time a run takes: that of the agent, not that in which a chat waits for its person."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager


class Stopwatch:
    """Seconds of work so far, by calling it. Mutable: there is one to a run."""

    def __init__(
        self, *, before_s: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._begun = clock() - before_s
        self._stopped: float | None = None

    def __call__(self) -> float:
        stopped = self._stopped
        return (self._clock() if stopped is None else stopped) - self._begun

    @contextmanager
    def stopped(self) -> Generator[None]:
        """Inside, no time passes, for other threads too."""
        if self._stopped is not None:
            yield
            return
        self._stopped = stopped = self._clock()
        try:
            yield
        finally:
            # In this order: whoever looks in between sees less time, and never a later one.
            self._begun += self._clock() - stopped
            self._stopped = None
