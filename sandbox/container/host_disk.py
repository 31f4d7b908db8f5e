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
    """A thread that looks at the disk while a sandbox stands."""

    def __init__(
        self,
        look: Callable[[], Space | None],
        *,
        end_command: Callable[[], None],
        kill: Callable[[str], None],
        every_s: float = _LOOK_EVERY_S,
    ) -> None:
        """`look` gives None where there is nothing to be seen: the thread then ends. `kill` gets
        the reason, for a person."""
        self._look = look
        self._end_command = end_command
        self._kill = kill
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="host disk", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()

    def _watch(self) -> None:
        space = self._look()
        if space is None:
            return
        floor = Floor(space)
        while not self._over.wait(self._every_s):
            space = self._look()
            if space is None:
                return
            match floor.judge(space.free):
                case DiskState.END_COMMAND:
                    self._end_command()
                case DiskState.KILL:
                    self._kill(
                        f"the host's disk is nearly full ({space.free >> 20} MiB free, floor "
                        f"{floor.floor_bytes >> 20} MiB): the container was killed; make room there"
                    )
                    return
                case DiskState.FINE:
                    pass


def look_at(engine: Engine) -> Callable[[], Space | None]:
    """Looks at the disk of an engine; the first look asks the engine where that is."""
    place: Path | None = None

    def look() -> Space | None:
        nonlocal place
        try:
            place = place or engine.local_root()
            if place is None:
                return None
            state = os.statvfs(place)
        except (SandboxError, OSError):
            return None
        return Space(free=state.f_bavail * state.f_frsize, total=state.f_blocks * state.f_frsize)

    return look
