"""Looks at a workspace that several openings share, and copies that one of them makes for all.

A look counts for whoever asked before it began, and for nobody later: so each has one that is no
older than its own question, and however many ask at once, there are two at most.
"""

import threading
from collections import defaultdict
from collections.abc import Generator, Hashable
from concurrent.futures import Future
from contextlib import contextmanager

from sandbox.workspace.scan import Scan
from sandbox.workspace.source import HostSource, ImageSource


class SharedLooks:
    """Of one process. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looking: defaultdict[Hashable, threading.Lock] = defaultdict(threading.Lock)
        self._copying: defaultdict[Hashable, threading.Lock] = defaultdict(threading.Lock)
        self._asked: dict[Hashable, Future[Scan]] = {}

    def look(self, source: HostSource | ImageSource) -> Scan:
        """As `ContainerSupply.look`."""
        if not isinstance(source, HostSource):
            return source.glance()
        with self._lock:
            asked = self._asked.get(source)
            turn = self._looking[source]
            if mine := asked is None:
                asked = self._asked[source] = Future()
        if mine:
            with turn:
                # Who asks from here on needs the next one.
                with self._lock:
                    del self._asked[source]
                try:
                    asked.set_result(source.glance())
                except BaseException as error:  # noqa: BLE001 - raised again by each that waits
                    asked.set_exception(error)
        return asked.result()

    @contextmanager
    def copying(self, source: HostSource | ImageSource) -> Generator[bool]:
        """As `ContainerSupply.copying`: of each workspace one at a time."""
        key = source if isinstance(source, HostSource) else (source.folder, source.image.id)
        with self._lock:
            turn = self._copying[key]
        waited = not turn.acquire(blocking=False)
        if waited:
            turn.acquire()
        try:
            yield waited
        finally:
            turn.release()
