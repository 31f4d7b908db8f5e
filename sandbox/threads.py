"""Work that threads share: done in one of its own, or once for all that ask for its result."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class _Entry(Generic[V]):
    """One result, or the turn of whoever makes it."""

    def __init__(self) -> None:
        self.making = threading.Lock()
        self.made: list[V] = []


class Recent(Generic[V]):
    """What is asked for by the same key is made once, however many ask at the same time."""

    def __init__(self, limit: int) -> None:
        """`limit`: how many are kept; what was asked for least recently goes first."""
        self._limit = limit
        self._lock = threading.Lock()
        self._entries: dict[Hashable, _Entry[V]] = {}

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The result for a key. Raises what `make` raises; then the next one tries again."""
        with self._lock:
            entry = self._entries.pop(key, None) or _Entry()
            self._entries[key] = entry  # the newest is the last
            while len(self._entries) > self._limit:
                del self._entries[next(iter(self._entries))]
        with entry.making:
            if not entry.made:
                entry.made.append(make())
            return entry.made[0]


class Same:
    """A key that is equal where it is the very same object, which it keeps alive."""

    __slots__ = ("_held",)

    def __init__(self, held: object) -> None:
        self._held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other._held is self._held

    def __hash__(self) -> int:
        return id(self._held)


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
        finally:
            # Two that know each other would keep what they worked on until the collector comes.
            del self._work

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
