"""Containers that are removed aside, while whoever had them goes on."""

import threading
from collections.abc import Callable

from sandbox.errors import SandboxError
from sandbox.pool.threads import BackgroundThreads

_WAITING_EACH = 4
"""How many wait for each thread; who gives up one more removes it itself."""


class BackgroundRemoval:
    """A few threads that remove, a bounded number behind. For any number of threads."""

    def __init__(self, threads: int) -> None:
        self._threads = BackgroundThreads(threads, name="remove")
        self._room = threading.BoundedSemaphore(threads * (1 + _WAITING_EACH))
        self.failures: list[str] = []
        """What was not removed, in words; `moonpool prune` finds it again."""

    def __call__(self, remove: Callable[[], None]) -> None:
        """Have it removed soon; on the spot where too many wait. Raises nothing."""
        if not self._room.acquire(blocking=False):
            self._removed(remove)
        elif not self._threads.submit(lambda: self._behind(remove)):
            self._behind(remove)

    def _behind(self, remove: Callable[[], None]) -> None:
        try:
            self._removed(remove)
        finally:
            self._room.release()

    def _removed(self, remove: Callable[[], None]) -> None:
        try:
            remove()
        except SandboxError as error:
            self.failures.append(str(error))

    def close(self) -> None:
        """Wait until all of it is removed."""
        self._threads.close()
