"""What the workspace copy is at a moment of the run, told as what changed since the moment before.

Owns following the changes, call by call, into a private store: which call wrote a hunk is worked
out from these, and so is going back. It costs a look at the times of all files and the bytes of
those that changed; what would cost more is not followed, and said so. Nothing here decides what
the patch is: that is made from the container alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sandbox import collect
from sandbox.errors import SandboxError
from sandbox.gitstore import Store
from sandbox.ignore import IgnoreRules
from sandbox.link import GuestLink
from sandbox.manifest import Entry, Manifest

FILE_LIMIT_BYTES = 8 << 20
"""A larger file is followed by name only."""
STEP_LIMIT_BYTES = 64 << 20
STEP_LIMIT_FILES = 5_000
TOTAL_LIMIT_BYTES = 1 << 30
"""Of all steps of a run together, before compression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What changed since the step before."""

    changed: Mapping[bytes, Entry | None] = field(default_factory=dict)
    """Path to what it is now, its content in the store; None: gone."""
    missed: frozenset[bytes] = frozenset()
    """Paths that changed, and whose content was not kept."""
    unfollowed: str | None = None
    """Why this step does not tell everything; None where it does."""


@dataclass(slots=True, kw_only=True)
class Follower:
    """Follows one container. Mutable: it remembers the step before."""

    store: Store
    manifest: Callable[[], Manifest]
    ignored: tuple[str, ...]
    """Patterns of the policy for new files that are left out of the patch."""
    _state: dict[bytes, Entry | None] = field(default_factory=dict)
    """Every path that is not as in the baseline."""
    _times: dict[bytes, int] = field(default_factory=dict)
    _rules: IgnoreRules | None = None
    _total_bytes: int = 0

    def step(self, link: GuestLink, *, times_tell: bool) -> Step:
        """Look at the container now.

        Args:
            times_tell: whatever changed has a new time (`sandbox.seal.SealReport.moves_copy`).

        Where the guest does not answer as it should, or the store can't be written, the step says
        that it tells nothing; nothing is raised, for a run does not depend on it.
        """
        if link.lost is not None:
            return Step(unfollowed="the sandbox did not answer")
        try:
            return self._step(link, times_tell=times_tell)
        except (SandboxError, OSError) as error:
            return Step(unfollowed=str(error))

    def _step(self, link: GuestLink, *, times_tell: bool) -> Step:
        changes = collect.from_guest(link, self.manifest, times_tell=times_tell)
        baseline = self.manifest().entries
        if self._rules is None:
            self._rules = IgnoreRules(self.manifest(), self.ignored)
        standing = {path for path in changes.candidates if self._rules.ignored(path) is None}
        wanted = {
            path
            for path in standing
            if path not in self._times or changes.times.get(path) != self._times[path]
        }
        if len(wanted) > STEP_LIMIT_FILES:
            return Step(unfollowed=f"{len(wanted)} files changed at once")
        if self._total_bytes > TOTAL_LIMIT_BYTES:
            return Step(unfollowed="more has changed than is kept")
        found, left_out = collect.fetch(
            link, wanted, self.store, limit_bytes=FILE_LIMIT_BYTES, total_bytes=STEP_LIMIT_BYTES
        )
        self._total_bytes += sum(entry.size for entry in found.values() if entry is not None)
        state: dict[bytes, Entry | None] = {
            path: found.get(path, self._state.get(path, baseline.get(path))) for path in standing
        }
        state |= dict.fromkeys(changes.deleted)
        changed = {path: state.get(path, baseline.get(path)) for path in {*self._state, *state}}
        changed = {
            path: now
            for path, now in changed.items()
            if now != self._state.get(path, baseline.get(path))
        }
        self._state = state
        self._times = {path: changes.times[path] for path in standing if path in changes.times}
        unfollowed = f"{len(left_out)} files are too large to follow" if left_out else None
        missed = frozenset(item.path for item in left_out)
        return Step(changed=changed, missed=missed, unfollowed=unfollowed)
