"""What ends the work of one sandbox: one request that its client takes back, or everything."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from agent.batch.thread_interrupts import ThreadInterrupts


class RequestInterrupts(ThreadInterrupts):
    """Those of a run whose steps are a client's requests, each of which may be taken back."""

    def __init__(self) -> None:
        super().__init__()
        self._taken_back = False

    @property
    def taken_back(self) -> bool:
        """The request that was begun last was taken back."""
        return self._taken_back

    def begin_request(self) -> None:
        with self._bell:
            self._taken_back = False

    def take_back(self) -> None:
        """End what the request waits for in a sandbox; callable from another thread."""
        with self._bell:
            self._taken_back = True
            for cancel in self._cancels:
                cancel()

    @contextmanager
    def calling(self, cancel: Callable[[], None], *, up_to_s: float) -> Generator[None]:
        """As for others; what was taken back before it began ends as it begins."""
        with super().calling(cancel, up_to_s=up_to_s):
            if self._taken_back:
                cancel()
            yield
