"""Which calls changed which files, told as the run goes: what `moonpool blame` reads later.

Owns when the sandbox is looked at (after calls that may have changed something, unless that would
cost too much) and which calls a look covers. A run never depends on it: what can't be followed is
told as such, and the patch is made from the container alone. Going back goes by here, so that no
call is taken for the writer of what was put back.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path

from agent.interrupts import Interrupts
from agent.record.events.kinds import Emit
from agent.record.events.lifecycle import (
    ChangesRescanned,
    ChangesTracked,
    TrackedFile,
    WorkspaceRestored,
)
from agent.tools import registry
from agent.tools.sandbox_protocol import SandboxProtocol
from policies.frozen import dataclass
from sandbox.errors import SandboxError
from sandbox.git.manifest import ManifestEntry
from sandbox.tracking import Mark, Restored, Step

CHEAP_S = 0.25
"""A look that takes no longer is always taken: without one a call is no point to fork at."""
SHARE = 0.1
"""A dearer one waits until it is at most this part of the time since the last."""
NAMES_BYTES = 1 << 20
"""Most bytes of paths in one event: thousands of long names must not fill the record."""
_UP_TO_S = 60.0
"""How long a guest may take that does not answer; told to a person after a signal."""
_BACK_S = 900.0
"""How long a guest may take to put the workspace back."""
ROOM_BYTES = 1 << 30
"""Kept free on the record's disk: the patch is to be written there too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePoint:
    """Where a run can go back to."""

    call: int
    """The newest that had ended; 0: none had."""
    mark: Mark


@dataclass(kw_only=True, eq=False)
class ChangeTracker:
    """Follows the changes in the sandbox of one run."""

    box: SandboxProtocol
    store: Path
    """A directory to be made for the content of what changed."""
    emit: Emit
    interrupts: Interrupts
    clock: Callable[[], float] = time.monotonic
    made: int = 0
    """The newest call that ended, whatever it was."""
    _first: int | None = None
    """The first of the calls that no look covers yet."""
    _last: int = 0
    _lost_since: int | None = None
    """From this call on, changes were seen that are in no event."""
    _cost_s: float = 0.0
    _looked: float = field(init=False)
    _backgrounds: bool = False
    _told: str | None = None

    def __post_init__(self) -> None:
        self._looked = self.clock()

    def after(self, number: int, tool: str, *, background: bool) -> None:
        """Call `number` has ended."""
        self.made = number
        if tool not in registry.WRITING:
            return
        self._first = number if self._first is None else self._first
        self._last = number
        self._backgrounds = self._backgrounds or background
        since_s = self.clock() - self._looked
        if self._cost_s <= CHEAP_S or self._cost_s <= SHARE * since_s:
            self._follow()

    def finish(self) -> None:
        """Nothing is called any more: cover what was passed over, and what still ran."""
        if self._backgrounds and self._last:
            self._first = self._first or self._last
        if self._first is not None:
            self._follow()

    def point(self) -> RestorePoint:
        """What stands now, to go back to; `Mark.unkept` says where it can't be."""
        if self._first is not None:
            self._follow()
        why = self._unready()
        if why is not None:
            return RestorePoint(call=self.made, mark=Mark(store=self.store, unkept=why))
        with self.interrupts.calling(lambda: None, up_to_s=_UP_TO_S):
            return RestorePoint(call=self.made, mark=self.box.mark(self.store))

    def go_back(self, point: RestorePoint) -> Restored:
        """Put the workspace back to what it was then, ending all that runs; tell, and go on.

        Raises:
            NotKept: nothing was touched.
            SandboxError: what stands may be between now and then.
        """
        if self._first is not None:
            self._follow()
        try:
            with self.interrupts.calling(lambda: None, up_to_s=_BACK_S):
                restored = self.box.restore(point.mark)
        except SandboxError:
            # Whatever stands now, part of it is nobody's: the next looks say that.
            self._lost_since = 1
            raise
        self._first, self._backgrounds = None, False
        wrong = {item.path for item in restored.differing}
        changed = {path: now for path, now in point.mark.changed.items() if path not in wrong}
        missed = frozenset({*point.mark.missed, *wrong})
        step = self._bounded(Step(changed=changed, missed=missed), since=1)
        self.emit(
            WorkspaceRestored(
                call=point.call,
                changed=_files(step.changed),
                missed=tuple(sorted(step.missed)),
                unfollowed=step.unfollowed,
                ended=restored.ended,
                left=restored.left,
                differing=restored.differing,
            )
        )
        return restored

    def anew(self) -> None:
        """The run was taken up again: what stands now is not the next call's doing."""
        step = self._bounded(self._look(), since=1)
        if step.unfollowed is not None and not step.changed:
            # Nobody knows what stands there: all that is found from now on may be from before.
            self._lost_since = 1
        self.emit(
            ChangesRescanned(
                changed=_files(step.changed),
                missed=tuple(sorted(step.missed)),
                unfollowed=step.unfollowed,
            )
        )

    def _follow(self) -> None:
        first = self._lost_since or self._first or self._last
        step = self._bounded(self._look(), since=first)
        if step.unfollowed is None or step.changed or step.missed:
            self._first = None
        elif step.unfollowed == self._told:
            return
        self._told = step.unfollowed
        # Told where nothing changed too: a fork from there has to know that nothing did.
        self.emit(
            ChangesTracked(
                first=first,
                last=self._last,
                changed=_files(step.changed),
                missed=tuple(sorted(step.missed)),
                unfollowed=step.unfollowed,
                gap=self._lost_since is not None,
            )
        )

    def _bounded(self, step: Step, *, since: int) -> Step:
        """The step, unless its names are too many for one event: then what it saw is lost."""
        names = sum(map(len, (*step.changed, *step.missed)))
        if names <= NAMES_BYTES:
            return step
        self._lost_since = since
        return Step(unfollowed=f"the names of what changed take {names} bytes")

    def _unready(self) -> str | None:
        """Why the sandbox is not to be looked at now."""
        if self.interrupts.at_once:
            return "the run was to end at once"
        try:
            if shutil.disk_usage(self.store.parent).free < ROOM_BYTES:
                return "the disk of the run's record is nearly full"
        except OSError as error:
            return f"the run's record can't be reached: {error.strerror}"
        return None

    def _look(self) -> Step:
        why = self._unready()
        if why is not None:
            return Step(unfollowed=why)
        started = self.clock()
        # Only the third signal breaks it off: half an answer read is a stream lost.
        with self.interrupts.calling(lambda: None, up_to_s=_UP_TO_S):
            try:
                step = self.box.checkpoint(self.store)
            except Exception as error:  # noqa: BLE001 - a defect of ours must not cost the run
                step = Step(unfollowed=f"a defect of Moonpool: {error!r}")
        self._looked = self.clock()
        self._cost_s = self._looked - started
        return step


def _files(changed: Mapping[bytes, ManifestEntry | None]) -> tuple[TrackedFile, ...]:
    return tuple(
        TrackedFile(path=path, mode=entry.mode if entry else 0, blob=entry.blob if entry else None)
        for path, entry in sorted(changed.items())
    )
