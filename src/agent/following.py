"""Which calls changed which files, told as the run goes: what `moonpool blame` reads later.

Owns when the box is looked at (after calls that may have changed something, unless the look would
cost too much) and which calls a look covers. A run never depends on it: what can't be followed is
told as such, and the patch is made from the container alone.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from agent.box import Box
from agent.events import Followed, FollowedAnew, FollowedFile, Tell
from agent.interrupts import Interrupts
from agent.tools import toolbox
from sandbox.checkpoint import Step

CHEAP_S = 0.05
"""A look that takes no longer is always taken."""
SHARE = 0.1
"""A dearer one waits until it is at most this part of the time since the last."""
NAMES_BYTES = 1 << 20
"""Of the paths in one event: who makes thousands of long names does not fill the record."""
_UP_TO_S = 60.0
"""Of a guest that does not answer; for the words after a signal."""
ROOM_BYTES = 1 << 30
"""Kept free on the record's disk: the patch is to be written there too."""


class Following:
    """Follows the box of one run."""

    def __init__(
        self,
        box: Box,
        store: Path,
        *,
        tell: Tell,
        interrupts: Interrupts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`store` is a directory to be made for the content of what changed."""
        self._box = box
        self._store = store
        self._tell = tell
        self._interrupts = interrupts
        self._clock = clock
        self._first: int | None = None
        """Of the calls that no look covers yet."""
        self._last = 0
        self._lost_since: int | None = None
        """From this call on, changes were seen that are in no event."""
        self._cost_s = 0.0
        self._looked = clock()
        self._backgrounds = False
        self._told: str | None = None

    def after(self, number: int, tool: str, *, background: bool) -> None:
        """Call `number` has ended."""
        if tool not in toolbox.WRITING:
            return
        self._first = number if self._first is None else self._first
        self._last = number
        self._backgrounds = self._backgrounds or background
        since_s = self._clock() - self._looked
        if self._cost_s <= CHEAP_S or self._cost_s <= SHARE * since_s:
            self._follow()

    def finish(self) -> None:
        """Nothing is called any more: cover what was passed over, and what still ran."""
        if self._backgrounds and self._last:
            self._first = self._first or self._last
        if self._first is not None:
            self._follow()

    def anew(self) -> None:
        """The run was taken up again: what stands now is not the next call's doing."""
        step = self._look()
        if sum(map(len, (*step.changed, *step.missed))) > NAMES_BYTES:
            step = Step(unfollowed="the names of what stands there are too many bytes")
        if step.unfollowed is not None and not step.changed:
            # Nobody knows what stands there: all that is found from now on may be from before.
            self._lost_since = 1
        self._tell(
            FollowedAnew(
                changed=_files(step),
                missed=tuple(sorted(step.missed)),
                unfollowed=step.unfollowed,
            )
        )

    def _follow(self) -> None:
        first = self._lost_since or self._first or self._last
        step = self._look()
        names = sum(map(len, (*step.changed, *step.missed)))
        if names > NAMES_BYTES:
            self._lost_since = first
            step = Step(unfollowed=f"the names of what changed take {names} bytes")
        if step.unfollowed is None or step.changed or step.missed:
            self._first = None
        elif step.unfollowed == self._told:
            return
        self._told = step.unfollowed
        if step.changed or step.unfollowed:
            self._tell(
                Followed(
                    first=first,
                    last=self._last,
                    changed=_files(step),
                    missed=tuple(sorted(step.missed)),
                    unfollowed=step.unfollowed,
                )
            )

    def _look(self) -> Step:
        if self._interrupts.at_once:
            return Step(unfollowed="the run was to end at once")
        started = self._clock()
        try:
            if shutil.disk_usage(self._store.parent).free < ROOM_BYTES:
                return Step(unfollowed="the disk of the run's record is nearly full")
        except OSError as error:
            return Step(unfollowed=f"the run's record can't be reached: {error.strerror}")
        # Only the third signal breaks it off: half an answer read is a stream lost.
        with self._interrupts.calling(lambda: None, up_to_s=_UP_TO_S):
            try:
                step = self._box.checkpoint(self._store)
            except Exception as error:  # noqa: BLE001 - a defect of ours must not cost the run
                step = Step(unfollowed=f"a defect of Moonpool: {error!r}")
        self._looked = self._clock()
        self._cost_s = self._looked - started
        return step


def _files(step: Step) -> tuple[FollowedFile, ...]:
    return tuple(
        FollowedFile(path=path, mode=entry.mode if entry else 0, blob=entry.blob if entry else None)
        for path, entry in sorted(step.changed.items())
    )
