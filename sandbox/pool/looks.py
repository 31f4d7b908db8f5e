"""Looks at a workspace that several openings share, and copies that one of them makes for all.

A look counts for whoever asked before it began, and for nobody later: so each has one that is no
older than its own question, and however many ask at once, there are two at most.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Generator, Hashable
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Generic, TypeVar

from sandbox.workspace.scan import Scan
from sandbox.workspace.source import HostSource, ImageSource

V = TypeVar("V")


class _Shared(Generic[V]):
    """Questions to a file system whose answers are shared, by whom they are about."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: defaultdict[Hashable, threading.Lock] = defaultdict(threading.Lock)
        self._asked: dict[Hashable, Future[V]] = {}

    def ask(self, key: Hashable, find_out: Callable[[], V]) -> V:
        with self._lock:
            asked = self._asked.get(key)
            turn = self._turns[key]
            if mine := asked is None:
                asked = self._asked[key] = Future()
        if mine:
            with turn:
                # Who asks from here on needs the next one.
                with self._lock:
                    del self._asked[key]
                try:
                    asked.set_result(find_out())
                except BaseException as error:  # noqa: BLE001 - raised again by each that waits
                    asked.set_exception(error)
        return asked.result()


class SharedLooks:
    """Of one process. For any number of threads."""

    def __init__(self) -> None:
        self._looks = _Shared[Scan]()
        self._walks = _Shared[str]()
        self._lock = threading.Lock()
        self._copying: defaultdict[Hashable, threading.Lock] = defaultdict(threading.Lock)

    def look(self, source: HostSource | ImageSource) -> Scan:
        """As `ContainerSupply.look`."""
        return self._looks.ask(_about(source), source.glance)

    def walk(self, source: HostSource | ImageSource) -> str:
        """As `ContainerSupply.walk`."""
        return self._walks.ask(_about(source), source.walk)

    @contextmanager
    def copying(self, source: HostSource | ImageSource) -> Generator[bool]:
        """As `ContainerSupply.copying`: of each workspace one at a time."""
        with self._lock:
            turn = self._copying[_about(source)]
        waited = not turn.acquire(blocking=False)
        if waited:
            turn.acquire()
        try:
            yield waited
        finally:
            turn.release()


def _about(source: HostSource | ImageSource) -> Hashable:
    """What looks at one and the same workspace have in common."""
    return source if isinstance(source, HostSource) else (source.folder, source.image.id)
