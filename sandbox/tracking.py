"""What the workspace copy is at a moment of the run, told as what changed since the moment before.

Owns following the changes, call by call, into a private store: which call wrote a hunk is worked
out from these. A mark is a moment that can be gone back to: it holds everything that a patch can
carry, and beside it enough to tell, when the copy is put back, what else has changed since and
stays as it is. Following costs a look at the times of all files and the bytes of those that
changed; what would cost more is not followed, and said so. Nothing here decides what the patch is:
that is made from the container alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path

from policies.frozen import dataclass
from policies.policy import ExportRules
from sandbox.errors import FileError, SandboxError, SandboxLost
from sandbox.export import guest_changes
from sandbox.git.ignore import IgnoreRules
from sandbox.git.manifest import Manifest, ManifestEntry
from sandbox.git.path_rules import carried
from sandbox.git.store import Store
from sandbox.guest.protocol import ListFolders, OddFolders
from sandbox.link import GuestLink
from sandbox.patch.values import LeftOut, LeftOutKind

USUAL_MODE = 0o755
"""Permission bits of a directory, unless a mark says other ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedDirectory:
    """A directory that is empty, holds a ``.git``, or has another mode than most."""

    mode: int
    """Permission bits."""
    empty: bool
    repository: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What stood in a workspace copy at a moment. Paths relative to the workspace."""

    store: Path
    """Where the content of what is in `changed` is kept."""
    changed: Mapping[bytes, ManifestEntry | None] = field(default_factory=dict)
    """Everything that was not as in the baseline; None: gone."""
    missed: frozenset[bytes] = frozenset()
    """Files that stood there and whose content was not kept: they were too large."""
    modes: Mapping[bytes, int] = field(default_factory=dict)
    """Permission bits of what had changed since the start, where they are known; else git's two."""
    times: Mapping[bytes, int] = field(default_factory=dict)
    """When each path that had changed since the start did so, in ns by the container's clock. What
    has the same time later is as it was."""
    folders: Mapping[bytes, MarkedDirectory] | None = None
    """None: it is not known which directories were empty."""
    special: frozenset[bytes] = frozenset()
    """Sockets, pipes and devices."""
    ignored: Mapping[bytes, int] = field(default_factory=dict)
    """When each ignored path that had changed since the start did so, in ns; 0: it was gone."""
    unkept: str | None = None
    """Why nothing is known, and nothing can be gone back to; None where it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What came of going back to a mark."""

    back: tuple[bytes, ...] = ()
    """Files and links that were given their content, their mode or their existence again."""
    removed: tuple[bytes, ...] = ()
    """Files and links that were not there at the mark."""
    ended: int = 0
    """Processes that still ran, and were ended first."""
    left: tuple[LeftOut, ...] = ()
    """What has changed since the mark and is not gone back: ignored files, what was too large to be
    kept. At most 200; the last one says how many more."""
    differing: tuple[LeftOut, ...] = ()
    """What should be as at the mark and, by a new look, is not. Empty: the state is the mark's."""


FILE_LIMIT_BYTES = 8 << 20
"""A larger file is followed by name only."""
STEP_LIMIT_BYTES = 64 << 20
STEP_LIMIT_FILES = 5_000
TOTAL_LIMIT_BYTES = 1 << 30
"""How much content all steps of a run take together, before compression."""
MARK_LIMIT_BYTES = 256 << 20
MARK_LIMIT_FILES = 50_000
"""How many files a mark takes of what changed since the look before, and `MARK_LIMIT_BYTES` of
their content: marks are worth more than steps, and are fewer."""


_FOLDERS_LIMIT = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What changed since the step before."""

    changed: Mapping[bytes, ManifestEntry | None] = field(default_factory=dict)
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
    rules: ExportRules
    """The policy's; which files are left out of the patch is of interest here."""
    _ignore: IgnoreRules | None = None
    _judged: dict[bytes, str | None] = field(default_factory=dict)
    _state: dict[bytes, ManifestEntry | None] = field(default_factory=dict)
    """Every path that may not be as in the baseline, by the newest look."""
    _missed: set[bytes] = field(default_factory=set)
    """Paths in `_state` whose content is not known."""
    _times: dict[bytes, int] = field(default_factory=dict)
    """When each of those that stand last changed, in ns."""
    _told: dict[bytes, ManifestEntry | None] = field(default_factory=dict)
    """What `_state` was when the newest step was told."""
    _told_missed: set[bytes] = field(default_factory=set)
    """What `_missed` was then."""
    _anew: set[bytes] = field(default_factory=set)
    """Paths in `_missed` whose content has changed since then."""
    _total_bytes: int = 0

    def step(self, link: GuestLink, *, times_tell: bool) -> Step:
        """Look at the container now.

        Args:
            times_tell: whatever changed has a new time (`SealReport.moves_copy`).

        Where the guest does not answer as it should, or the store can't be written, the step says
        that it tells nothing; nothing is raised, for a run does not depend on it.
        """
        if link.lost is not None:
            return Step(unfollowed="the sandbox did not answer")
        try:
            return self._step(link, times_tell=times_tell)
        except (_TooMuch, SandboxError, FileError, OSError) as error:
            return Step(unfollowed=str(error))

    def mark(self, link: GuestLink, *, times_tell: bool) -> Mark:
        """What stands in the container now, to go back to; the steps are as if it was not made.

        Raises nothing, as `step`.
        """
        directory = self.store.directory
        if link.lost is not None:
            return Mark(store=directory, unkept="the sandbox did not answer")
        try:
            changes = self._look(
                link, times_tell=times_tell, files=MARK_LIMIT_FILES, total_bytes=MARK_LIMIT_BYTES
            )
            folders = folders_of(link)
        except _TooMuch as much:
            return Mark(store=directory, unkept=str(much))
        except (SandboxError, FileError, OSError) as error:
            return Mark(store=directory, unkept=str(error))
        baseline = self.manifest().entries
        changed = {
            path: entry
            for path, entry in self._state.items()
            if entry != baseline.get(path) and path not in self._missed
        }
        return Mark(
            store=directory,
            changed=changed,
            missed=frozenset(self._missed),
            modes={
                path: mode & 0o7777
                for path, mode in changes.modes.items()
                if not self.ignored(path)
            },
            times={path: time for path, time in changes.times.items() if not self.ignored(path)},
            folders=folders,
            special=self.special(changes),
            ignored=self.ignored_times(changes),
        )

    def moved(
        self,
        state: Mapping[bytes, ManifestEntry | None],
        times: Mapping[bytes, int],
        missed: frozenset[bytes],
    ) -> None:
        """Take it that the container was put into this state: no step tells of that.

        A path without a time is looked at anew by the next step.
        """
        self._state, self._times, self._missed = dict(state), dict(times), set(missed)
        self._told, self._told_missed = dict(state), set(missed)

    def ignored(self, path: bytes) -> str | None:
        """The rule that keeps a new path out of the patch, and out of all that is followed. What
        stood in the baseline is followed, in a patch or not: it can be put back."""
        if path in self.manifest().entries:
            return None
        if self._ignore is None:
            self._ignore = IgnoreRules(self.manifest(), self.rules.ignore, self.rules.include)
        if path not in self._judged:  # the rules have only so much work in them
            self._judged[path] = self._ignore.ignored(path)
        return self._judged[path]

    def special(self, changes: guest_changes.FoundChanges) -> frozenset[bytes]:
        """Sockets, pipes and devices that are not ignored."""
        found = (item.path for item in changes.left_out if item.kind is LeftOutKind.SPECIAL)
        return frozenset(path for path in found if not self.ignored(path))

    def ignored_times(self, changes: guest_changes.FoundChanges) -> dict[bytes, int]:
        """When each ignored path changed; 0: it is gone."""
        times = dict.fromkeys(changes.candidates, 0) | changes.times
        times |= dict.fromkeys(changes.deleted, 0)
        return {path: time for path, time in times.items() if self.ignored(path)}

    def _step(self, link: GuestLink, *, times_tell: bool) -> Step:
        self._look(
            link, times_tell=times_tell, files=STEP_LIMIT_FILES, total_bytes=STEP_LIMIT_BYTES
        )
        baseline = self.manifest().entries
        known = self._told_missed - self._missed
        changed = {
            path: self._state.get(path, baseline.get(path))
            for path in {*self._told, *self._state, *known} - self._missed
        }
        changed = {
            path: now
            for path, now in changed.items()
            if path in known or now != self._told.get(path, baseline.get(path))
        }
        missed = frozenset(self._missed & self._anew)
        self._anew.clear()
        self._told, self._told_missed = self._state, set(self._missed)
        unfollowed = f"{len(missed)} files are too large to follow" if missed else None
        return Step(changed=changed, missed=missed, unfollowed=unfollowed)

    def _look(
        self, link: GuestLink, *, times_tell: bool, files: int, total_bytes: int
    ) -> guest_changes.FoundChanges:
        """Bring the state up to date.

        Raises:
            _TooMuch: that would cost more than it may; the state is as before.
            SandboxError, FileError, OSError: it can't be said.
        """
        changes = guest_changes.from_guest(link, self.manifest, times_tell=times_tell)
        baseline = self.manifest().entries
        standing = {path for path in changes.candidates if self.ignored(path) is None}
        wanted = {
            path
            for path in standing
            if path not in self._times or changes.times.get(path) != self._times[path]
        }
        if len(wanted) > files:
            raise _TooMuch(f"{len(wanted)} files changed at once")
        if self._total_bytes > TOTAL_LIMIT_BYTES:
            raise _TooMuch("more has changed than is kept")
        found, left_out = guest_changes.fetch(
            link, wanted, self.store, limit_bytes=FILE_LIMIT_BYTES, total_bytes=total_bytes
        )
        self._total_bytes += sum(entry.size for entry in found.values() if entry is not None)
        state: dict[bytes, ManifestEntry | None] = {
            path: found.get(path, self._state.get(path, baseline.get(path))) for path in standing
        }
        state |= {path: None for path in changes.deleted if self.ignored(path) is None}
        self._anew |= {item.path for item in left_out}
        self._missed = (self._missed & standing) - found.keys() | {item.path for item in left_out}
        self._state = state
        self._times = {path: changes.times[path] for path in standing if path in changes.times}
        return changes


class _TooMuch(Exception):
    """A look would cost more than it may."""


def folders_of(link: GuestLink) -> dict[bytes, MarkedDirectory]:
    """The directories that are empty, hold a repository, or have another mode than most.

    Raises:
        SandboxLost, FileError: the guest can't say.
    """
    found: dict[bytes, MarkedDirectory] = {}
    told = 0
    for piece in link.stream(ListFolders(), OddFolders):
        for folder in piece.folders:
            if folder.path and not carried(folder.path):
                raise SandboxLost("the guest's list of directories holds what is no path")
            found[folder.path] = MarkedDirectory(
                mode=folder.mode & 0o7777, empty=folder.empty, repository=folder.repository
            )
        told += 1 + len(piece.folders)
        if told > _FOLDERS_LIMIT:
            raise SandboxLost("the guest's list of directories has no end")
    return found
