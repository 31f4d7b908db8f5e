"""Where a patch and what was changed since stand in each other's way, line by line.

For a person who looks at it: nothing is decided here, and nothing is written to the directory.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from policies.frozen import dataclass
from sandbox.apply.target import PresentFile, work_on
from sandbox.git.apply import apply_to_entries
from sandbox.git.line_authors import differences
from sandbox.git.manifest import SYMLINK, ManifestEntry
from sandbox.git.pack import PackedStore
from sandbox.git.path_rules import refusal
from sandbox.git.store import Store
from sandbox.patch.baseline import Baseline
from sandbox.patch.make import LINES_LIMIT_BYTES

_GIT_S = 60
_REGIONS = 100
_REGION_LINES = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictRegion:
    """Lines that both sides changed, otherwise than each other."""

    path: bytes
    line: int
    """The first of them in the file as it stands now, from 1."""
    ours: tuple[bytes, ...]
    """As they stand now, without line feeds; at most 400 of each side."""
    base: tuple[bytes, ...]
    """As they were when the patch was made."""
    theirs: tuple[bytes, ...]
    """As the patch has them."""


@dataclass(frozen=True, slots=True)
class _Hunk:
    """Lines ``old`` to ``old_end`` of the base became lines ``new`` to ``new_end``, from 0."""

    old: int
    old_end: int
    new: int
    new_end: int


def conflict_regions(patch: bytes, target: Path, baseline: Baseline) -> tuple[ConflictRegion, ...]:
    """The lines of a directory's files at which a patch can't be merged; at most 100 places.

    Files that are gone, links, binary ones and huge ones have no such lines.

    Raises:
        PatchError: the directory or the old files can't be read.
    """
    with work_on(target, "the conflicts can't be looked at: {}") as (directory, scratch):
        store = PackedStore(scratch / "store")
        base = baseline.lent(store)
        file = scratch / "patch.diff"
        file.write_bytes(patch)
        theirs = apply_to_entries(store, base, file, index=scratch / "index", timeout_s=_GIT_S)
        ours: dict[bytes, ManifestEntry] = {}
        for path, entry in base.items():
            if refusal(path) is None and theirs.get(path) not in {None, entry}:
                seen = directory.look(path, store)
                if isinstance(seen, PresentFile):
                    ours[path] = seen.entry
        found = chain.from_iterable(
            _of_file(store, path, (base[path], ours[path], theirs[path])) for path in ours
        )
        return tuple(islice(found, _REGIONS))


def _of_file(
    store: Store, path: bytes, sides: tuple[ManifestEntry, ManifestEntry, ManifestEntry]
) -> Iterator[ConflictRegion]:
    if any(side.mode == SYMLINK or side.size > LINES_LIMIT_BYTES for side in sides):
        return
    base, ours, theirs = (side.blob for side in sides)
    lines = {blob: b"".join(store.read(blob)).split(b"\n") for blob in {base, ours, theirs}}
    mine, other = _hunks(store, base, ours), _hunks(store, base, theirs)
    for start, end, in_ours, in_theirs in _overlapping(mine, other):
        region = ConflictRegion(
            path=path,
            line=in_ours[0] + 1,
            ours=tuple(lines[ours][slice(*in_ours)][:_REGION_LINES]),
            base=tuple(lines[base][start:end][:_REGION_LINES]),
            theirs=tuple(lines[theirs][slice(*in_theirs)][:_REGION_LINES]),
        )
        if region.ours != region.theirs:
            yield region


def _hunks(store: Store, old: str, new: str) -> list[_Hunk]:
    if old == new:
        return []
    return [
        _Hunk(start - 1, start - 1 + len(went), other - 1, other - 1 + len(came))
        for start, other, went, came in differences(store.directory, old, new) or ()
    ]


_Range = tuple[int, int]


def _overlapping(
    mine: Sequence[_Hunk], other: Sequence[_Hunk]
) -> Iterator[tuple[int, int, _Range, _Range]]:
    """Lines of the base that both changed or both touch, and where they are on each side."""
    groups: list[tuple[int, int, list[_Hunk], list[_Hunk]]] = []
    both: list[tuple[_Hunk, bool]] = [(hunk, True) for hunk in mine]
    both += [(hunk, False) for hunk in other]
    for hunk, is_mine in sorted(both, key=lambda one: (one[0].old, one[0].old_end)):
        if not groups or hunk.old > groups[-1][1]:
            groups.append((hunk.old, hunk.old_end, [], []))
        start, end, ours, theirs = groups[-1]
        (ours if is_mine else theirs).append(hunk)
        groups[-1] = start, max(end, hunk.old_end), ours, theirs
    for start, end, ours, theirs in groups:
        if ours and theirs:
            yield start, end, _where(ours, start, end), _where(theirs, start, end)


def _where(hunks: Sequence[_Hunk], start: int, end: int) -> _Range:
    """Where the lines of the base are on the side of these hunks, which lie in them."""
    first, last = hunks[0], hunks[-1]
    return first.new - (first.old - start), last.new_end + (end - last.old_end)
