"""The disk that the engine keeps containers on, watched from the host: a guest may be dead or lie.

Owns when little enough is left to end a command, and when to kill the container. Knows no guest.
Only where the engine runs on this machine: another's disk can't be seen from here.

The floor is 2 % of the disk and at least 1 GiB; where less than twice that was free when the
sandbox began, it is half of what was. Below the floor the running command is ended, and again each
time an eighth of the floor more is gone; below half of it the container is killed. What it holds
stays for the export, after which it is removed, and the space with it.
"""

import os
import threading
import time
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path

from policies.frozen import dataclass
from sandbox.engine.docker import Engine
from sandbox.errors import SandboxError

_SMALLEST_FLOOR_BYTES = 1 << 30
_FLOOR_SHARE = 50
_STEPS = 8
_LOOK_EVERY_S = 0.25


class DiskState(Enum):
    FINE = auto()
    END_COMMAND = auto()
    KILL = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What one disk has, in bytes."""

    free: int
    total: int


class Floor:
    """Judges one look after the other."""

    def __init__(self, at_start: Space) -> None:
        floor = max(_SMALLEST_FLOOR_BYTES, at_start.total // _FLOOR_SHARE)
        self.floor_bytes = min(floor, at_start.free // 2)
        self._level = self.floor_bytes

    def judge(self, free: int) -> DiskState:
        """What to do with so much left."""
        if free < self.floor_bytes // 2:
            return DiskState.KILL
        if free < self._level:
            # So that what is run next can make room: it is ended only if it takes more.
            self._level = min(free, self._level) - self.floor_bytes // _STEPS
            return DiskState.END_COMMAND
        if free >= self.floor_bytes:
            self._level = self.floor_bytes
        return DiskState.FINE


class HostDisk:
    """Has the disk looked at while a sandbox stands, by one thread for all that do."""

    def __init__(
        self,
        look: Callable[[], Space | None],
        *,
        end_command: Callable[[], None],
        kill: Callable[[str], None],
        every_s: float = _LOOK_EVERY_S,
    ) -> None:
        """`look` gives None where there is nothing to be seen: that is the end of it. `kill` gets
        the reason, for a person."""
        self.look = look
        self.every_s = every_s
        self.over = threading.Event()
        """Nobody looks any more."""
        self._end_command = end_command
        self._kill = kill
        self._floor: Floor | None = None
        _watch.begin(self)

    def stop(self) -> None:
        self.over.set()

    def judge(self, space: Space | None) -> None:
        """Do what a look asks for."""
        if space is None:
            self.over.set()
            return
        if self._floor is None:
            self._floor = Floor(space)
            return
        match self._floor.judge(space.free):
            case DiskState.END_COMMAND:
                self._end_command()
            case DiskState.KILL:
                self.over.set()
                self._kill(
                    f"the host's disk is nearly full ({space.free >> 20} MiB free, floor "
                    f"{self._floor.floor_bytes >> 20} MiB): the container was killed; make room "
                    "there"
                )
            case DiskState.FINE:
                pass


class _Watch:
    """The thread: it stands as long as there is something to look after."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._disks: list[HostDisk] = []
        self._stands = False

    def begin(self, disk: HostDisk) -> None:
        with self._lock:
            self._disks.append(disk)
            if not self._stands:
                self._stands = True
                threading.Thread(target=self._run, name="host disk", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._lock:
                disks = self._disks = [disk for disk in self._disks if not disk.over.is_set()]
                if not disks:
                    self._stands = False
                    return
            seen: dict[Callable[[], Space | None], Space | None] = {}
            for disk in disks:
                # Sandboxes of one engine are on one disk.
                if disk.look not in seen:
                    seen[disk.look] = disk.look()
                if not disk.over.is_set():
                    disk.judge(seen[disk.look])
            time.sleep(min(disk.every_s for disk in disks))


_watch = _Watch()


class EngineDisk:
    """Looks at the disk of an engine; the first look asks the engine where that is."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._place: Path | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EngineDisk) and other._engine is self._engine

    def __hash__(self) -> int:
        return hash(self._engine)

    def __call__(self) -> Space | None:
        try:
            self._place = self._place or self._engine.local_root()
            if self._place is None:
                return None
            state = os.statvfs(self._place)
        except (SandboxError, OSError):
            return None
        return Space(free=state.f_bavail * state.f_frsize, total=state.f_blocks * state.f_frsize)
