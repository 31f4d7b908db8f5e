"""A mark beside what stands in the workspace now, and what is to be done to go back to it."""

import hashlib
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

from policies.frozen import dataclass
from sandbox.errors import PatchError
from sandbox.export import guest_changes
from sandbox.export.guest_changes import FoundChanges
from sandbox.git.manifest import SYMLINK, ManifestEntry
from sandbox.git.store import Store
from sandbox.link import GuestLink
from sandbox.patch.values import LeftOut, LeftOutKind
from sandbox.tracking import Follower, Mark

_FILE_BYTES = 256 << 20
_TOTAL_BYTES = 1 << 32


@dataclass(slots=True, kw_only=True)
class RestorePlan:
    """What is to be done with files and links."""

    remove: list[bytes] = field(default_factory=list)
    put: dict[bytes, ManifestEntry] = field(default_factory=dict)
    left: list[LeftOut] = field(default_factory=list)
    """Paths that stay as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkComparison:
    """A mark, and what a look found since. Paths relative to the workspace."""

    mark: Mark
    follower: Follower
    changes: FoundChanges

    def target(self, path: bytes) -> ManifestEntry | None:
        """What stood there at the mark."""
        changed = self.mark.changed
        return changed[path] if path in changed else self.baseline(path)

    def baseline(self, path: bytes) -> ManifestEntry | None:
        """What was copied in."""
        return self.follower.manifest().entries.get(path)

    def same_time(self, path: bytes) -> bool:
        """Whether nothing has changed the file since the mark."""
        then = self.mark.times.get(path)
        return then is not None and self.changes.times.get(path) == then

    def stands(self, path: bytes) -> bool:
        """Whether a file or link is there now."""
        there = self.baseline(path) is not None and path not in self.changes.deleted
        return path in self.changes.candidates or there

    def paths(self) -> Iterator[bytes]:
        """Everything that may be otherwise than at the mark, and could be gone back."""
        mark, changes = self.mark, self.changes
        for path in sorted({*changes.candidates, *changes.deleted, *mark.changed, *mark.missed}):
            if path in mark.changed or self.follower.ignored(path) is None:
                yield path

    def has_mode(self, path: bytes, entry: ManifestEntry, modes: Mapping[bytes, int]) -> bool:
        """Whether what stands there has the permission bits that are wanted, where any are."""
        wanted = modes.get(path)
        if entry.mode == SYMLINK or wanted is None:
            return True
        return stat.S_IMODE(self.changes.modes.get(path, 0)) == wanted

    def plan(self) -> RestorePlan:
        """What is to be done."""
        plan = RestorePlan()
        for path in self.paths():
            if self.same_time(path):
                continue
            target = self.target(path)
            if path in self.mark.missed:
                reason = "was too large to be kept, and is as it is now"
                left = LeftOut(path=path, reason=reason, kind=LeftOutKind.TOO_LARGE)
                plan.left.append(left)
            elif target is not None:
                plan.put[path] = target
            elif self.stands(path):
                plan.remove.append(path)
        plan.remove += self.follower.special(self.changes) - self.mark.special
        return plan


def entries_now(link: GuestLink, paths: set[bytes]) -> dict[bytes, ManifestEntry]:
    """What stands at these paths now, by its content; what can't be read is not among it."""
    found, _ = guest_changes.fetch(
        link, paths, _Digests(), limit_bytes=_FILE_BYTES, total_bytes=_TOTAL_BYTES
    )
    return {path: entry for path, entry in found.items() if entry is not None}


def digest(chunks: Iterable[bytes], size: int) -> str:
    """The id of a content in a store. Raises `PatchError` where its size is not as said."""
    state = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    total = 0
    for chunk in chunks:
        total += len(chunk)
        state.update(chunk)
    if total != size:
        raise PatchError(
            f"a file of {size} bytes was announced and {total} came: it changed while it was read"
        )
    return state.hexdigest()


class _Digests(Store):
    """Takes contents for their ids only: nothing is kept."""

    def __init__(self) -> None:
        pass

    def put(self, chunks: Iterable[bytes], size: int) -> str:
        return digest(chunks, size)
