"""Looks at a workspace that several openings share, and copies that one of them makes for all.

A look counts for whoever asked before it began. It counts for later ones as well for as long as the
kernel has told of no change since (`stillness`), and a moment at most: so what was written before
somebody asked is seen, and hundreds of tasks on one large workspace do not walk through it each.
"""

import os
import stat
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Hashable
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.supply import ContainerSupply
from sandbox.workspace.scan import Scan
from sandbox.workspace.source import HostSource, ImageSource

if TYPE_CHECKING:
    from sandbox.pool.stillness import Stillness

_COUNTS_S, _COUNTS_TIMES = 1.0, 20
"""How long a look counts at most, of a workspace of which nothing was heard since: a second, or so
many times as long as it took."""
_KEPT = 4
"""Of how many workspaces the newest look is kept."""


class _LooksUnderWay:
    """Looks whose results are shared by those who asked before they began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: defaultdict[Hashable, threading.Lock] = defaultdict(threading.Lock)
        self._asked: dict[Hashable, Future[Scan]] = {}

    def ask(self, key: Hashable, look: Callable[[], Scan]) -> Scan:
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
                    asked.set_result(look())
                except BaseException as error:  # noqa: BLE001 - raised again by each that waits
                    asked.set_exception(error)
        return asked.result()


class SharedLooks(ContainerSupply):
    """Of one process. For any number of threads."""

    def __init__(self) -> None:
        self._looks = _LooksUnderWay()
        self._kept: dict[Hashable, _KeptLook] = {}
        self._lock = threading.Lock()
        self._copying: defaultdict[Hashable, threading.Lock] = defaultdict(threading.Lock)

    def look(self, source: HostSource | ImageSource) -> Scan:
        if not isinstance(source, HostSource):
            return source.glance()
        return self._looks.ask(source, lambda: self._looked(source))

    def _looked(self, source: HostSource) -> Scan:
        with self._lock:
            kept = self._kept.pop(source, None)
        counts = kept is not None and kept.counts()
        found = kept if kept is not None and counts else _looked_again(source, kept)
        with self._lock:
            self._kept[source] = found
            while len(self._kept) > _KEPT:
                self._kept.pop(next(iter(self._kept))).forget()
        return found.scan

    def forget(self) -> None:
        """Watch nothing any more."""
        with self._lock:
            kept, self._kept = self._kept, {}
        for look in kept.values():
            look.forget()

    def walk(self, _: HostSource | ImageSource) -> str:
        """Nothing: a look is kept, and costs less from the second on."""
        return ""

    @contextmanager
    def copying(self, source: HostSource | ImageSource) -> Generator[bool]:
        """Of each workspace one at a time."""
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


class _KeptLook:
    """The newest look at a workspace, and what tells whether it still counts."""

    def __init__(
        self, scan: Scan, began_s: float, still: "Stillness | None", *, proven: bool
    ) -> None:
        self.scan = scan
        self.still = still
        took_s = time.monotonic() - began_s
        self._until_s = began_s + max(_COUNTS_S, _COUNTS_TIMES * took_s)
        self._proven = proven
        """The watch stood before the look began."""

    def counts(self) -> bool:
        young = time.monotonic() < self._until_s
        return self._proven and young and self.still is not None and self.still.holds()

    def forget(self) -> None:
        if self.still is not None:
            self.still.close()


def _looked_again(source: HostSource, kept: _KeptLook | None) -> _KeptLook:
    """Look; a watch that holds is used again, and what it stood over before counts as watched."""
    still = None if kept is None else kept.still
    if still is not None and not still.holds():
        still.close()
        still = None
    began_s = time.monotonic()
    try:
        scan = source.glance()
    except BaseException:
        if still is not None:
            still.close()
        raise
    folders = frozenset(row.path for row in scan.rows if stat.S_ISDIR(row.mode))
    if still is not None and still.directories == folders:
        return _KeptLook(scan, began_s, still, proven=True)
    if still is not None:
        still.close()
    return _KeptLook(scan, began_s, _watch(source.directory, scan, folders), proven=False)


def _watch(root: Path, scan: Scan, folders: frozenset[bytes]) -> "Stillness | None":
    if scan.linked is not None:
        return None  # part of it stands elsewhere
    from sandbox.pool.stillness import Stillness  # noqa: PLC0415 - ctypes

    try:
        return Stillness(os.fsencode(root), folders)
    except OSError:
        return None
