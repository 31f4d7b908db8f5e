"""One piece of work in a thread of its own, whose result or error is waited for later."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(threading.Thread, Generic[T]):
    """Begins when it is told to, or when its result is asked for. Dies with the process."""

    def __init__(self, work: Callable[[], T], *, name: str) -> None:
        super().__init__(name=f"moonpool-{name}", daemon=True)
        self._work = work
        self._results: list[T] = []
        self._error: BaseException | None = None

    def begin(self) -> None:
        """Start, unless that has been done."""
        if self.ident is None:
            self.start()

    def run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001 - raised again in `result`
            self._error = error

    def wait(self) -> None:
        """Wait until it is done, whatever came of it; not at all where it was never begun."""
        if self.ident is not None:
            self.join()

    def result(self) -> T:
        """What the work gave, when it is done. Raises what it raised."""
        self.begin()
        self.join()
        if self._error is not None:
            raise self._error
        return self._results[0]
