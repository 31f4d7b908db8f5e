"""A few threads that work behind everybody's back, and end with the process if nobody ends them.

Those of `concurrent.futures` are waited for at the interpreter's end, whatever is left to do: who
leaves at once would wait for containers that nobody wants any more.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue

Work = Callable[[], None]


class BackgroundThreads:
    """Do what they are given in that order. For any number of threads."""

    def __init__(self, count: int, *, name: str) -> None:
        self._queue = SimpleQueue[Work | None]()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, name=f"moonpool-{name}", daemon=True)
            for _ in range(count)
        ]
        self._closed = False

    def submit(self, work: Work) -> bool:
        """Have it done, which must raise nothing; False once they are closed."""
        with self._lock:
            if self._closed:
                return False
            for thread in self._threads:
                if thread.ident is None:
                    thread.start()
            self._queue.put(work)
            return True

    def close(self) -> None:
        """Wait until all of it is done."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._queue.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            work()
