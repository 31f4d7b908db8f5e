"""A few threads that work behind everybody's back; they end with whoever has them.

And with the process: those of `concurrent.futures` are waited for at the interpreter's end,
whatever is left to do: who leaves at once would wait for containers that nobody wants any more.
"""

import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue

Work = Callable[[], None]


class BackgroundThreads:
    """Do what they are given in that order. For any number of threads."""

    def __init__(self, count: int, *, name: str) -> None:
        queue = self._queue = SimpleQueue[Work | None]()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=_do, args=(queue,), name=f"moonpool-{name}", daemon=True)
            for _ in range(count)
        ]
        self._end = weakref.finalize(self, _end, queue, count)
        self._end.atexit = False

    def submit(self, work: Work) -> bool:
        """Have it done, which must raise nothing; False once they are closed."""
        with self._lock:
            if not self._end.alive:
                return False
            for thread in self._threads:
                if thread.ident is None:
                    thread.start()
            self._queue.put(work)
            return True

    def close(self) -> None:
        """Wait until all of it is done."""
        with self._lock:
            self._end()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()


def _end(pieces: SimpleQueue[Work | None], count: int) -> None:
    for _ in range(count):
        pieces.put(None)


def _do(pieces: SimpleQueue[Work | None]) -> None:
    while (work := pieces.get()) is not None:
        work()
        del work  # what it holds would live until the next one
