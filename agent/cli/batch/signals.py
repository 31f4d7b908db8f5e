"""What signals do to a batch: once to end well, twice to export at once, three times to leave.

SIGTERM and SIGHUP mean twice, however often they come.
"""

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

from agent.batch.scheduler import Scheduler
from agent.batch.stopping import Stopping

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BY_COUNT = (Stopping.SOON, Stopping.AT_ONCE, Stopping.DROPPED)


@contextmanager
def stopping(scheduler: Scheduler) -> Generator[None]:
    """Inside, signals end the batch. Afterwards they are without effect: the process ends soon."""
    count = 0

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal count
        count = count + 1 if number == signal.SIGINT else max(count, 2)
        if count > len(_BY_COUNT):
            # It does not get there, whatever it waits for.
            raise KeyboardInterrupt
        scheduler.stop(_BY_COUNT[min(count, len(_BY_COUNT)) - 1])

    for number in _SIGNALS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
