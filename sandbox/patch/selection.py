"""A part of a patch as a patch of its own: chosen by file and hunk, or what is new in a later one.

Owns taking a patch apart into what can be chosen, and the proof of what is put together again: it
is applied to the old files that were kept, and made anew from what that gives. Content that looks
like a patch is content: hunks are read by their counts.
"""

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from policies.frozen import dataclass
from sandbox.errors import PatchError
from sandbox.git.apply import apply_to_entries
from sandbox.git.diff import touched_paths
from sandbox.git.manifest import Manifest, ManifestEntry
from sandbox.git.pack import PackedStore
from sandbox.patch.baseline import Baseline
from sandbox.patch.make import make_patch, same_file
from sandbox.patch.values import Change, Patch

MODE = 0
"""In place of a hunk's number: the change of a file's mode, beside its hunks."""
_GIT_S = 600
_FILE = b"diff --git "
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_MODES = (b"old mode ", b"new mode ")
_WHOLE = (b"new file mode ", b"deleted file mode ")


class ChoiceRefused(PatchError):
    """There is no such part of the patch, or it can't be taken alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchHunk:
    """One hunk, as it stands in the patch."""

    header: bytes
    lines: tuple[bytes, ...]
    """With their signs and line feeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDiff:
    """What a patch does to one file."""

    path: bytes
    old_path: bytes | None
    head: tuple[bytes, ...]
    """The lines before the hunks."""
    hunks: tuple[PatchHunk, ...]
    raw: bytes
    """All of it, as it stands in the patch."""

    @property
    def choices(self) -> tuple[int, ...]:
        """Numbers of the hunks from 1, and `MODE`; empty: it is taken as a whole or not at all."""
        modes = sum(line.startswith(_MODES) for line in self.head)
        mode_alone = modes > 0 and len(self.head) == 1 + modes
        if any(line.startswith(_WHOLE) for line in self.head) or not (self.hunks or mode_alone):
            return ()
        numbers = tuple(range(1, len(self.hunks) + 1))
        return (MODE, *numbers) if modes else numbers


HunkChoice = Mapping[bytes, frozenset[int] | None]
"""What is wanted of each file, by its new path: these of its `choices`, or None for all of it."""


def file_diffs(data: bytes, changes: Sequence[Change]) -> tuple[FileDiff, ...]:
    """The files of a patch, in its order.

    Args:
        changes: what the patch is known to do, in any order.

    Raises:
        PatchError: the patch is not what is known of it.
    """
    sections = list(_sections(data))
    found = []
    at = 0
    for change in sorted(changes, key=lambda change: change.path):
        parts = sections[at : at + change.sections]
        at += change.sections
        if len(parts) != change.sections:
            raise PatchError("the patch has fewer files than are known of it")
        if change.path not in touched_paths(b"".join(_taken_apart(parts[0])[0])):
            raise PatchError("the patch has other files than are known of it")
        head, hunks = _taken_apart(parts[0]) if len(parts) == 1 else ((), ())
        raw = b"".join(b"".join(part) for part in parts)
        found.append(
            FileDiff(path=change.path, old_path=change.old_path, head=head, hunks=hunks, raw=raw)
        )
    if at != len(sections):
        raise PatchError("the patch has more files than are known of it")
    return tuple(found)


def chosen_text(files: Sequence[FileDiff], choice: HunkChoice) -> bytes:
    """The chosen part, not yet proved; empty where that is nothing.

    Raises:
        ChoiceRefused: a file or a hunk is chosen that is not there, or can't be taken alone.
    """
    known = {file.path for file in files}
    for path in choice:
        if path not in known:
            raise ChoiceRefused(f"the patch touches no {path.decode(errors='replace')}")
    return b"".join(_chosen(file, choice[file.path]) for file in files if file.path in choice)


def chosen_patch(
    data: bytes,
    changes: Sequence[Change],
    choice: HunkChoice,
    baseline: Baseline,
    *,
    compared: frozenset[bytes] = frozenset(),
) -> Patch:
    """The chosen part of a patch, proved against the files that it was made against.

    Args:
        compared: names, in lower case, of files that are kept whole, for a review.
        baseline: of the whole patch. What git stores otherwise than it stood is not told of it.

    Raises:
        ChoiceRefused: see `chosen_text`.
        PatchError: what was kept of the patch does not fit it.
    """
    text = chosen_text(file_diffs(data, changes), choice)
    try:
        with tempfile.TemporaryDirectory(prefix="moonpool-choice-") as place:
            scratch = Path(place)
            store = PackedStore(scratch / "store")
            old = baseline.lent(store)
            after = _after(text, old, store, scratch / "chosen")
            return _between(store, old, after, compared)
    except OSError as problem:
        raise PatchError(f"the chosen part can't be made: {problem}") from problem


def hunks_of(raw: bytes) -> tuple[PatchHunk, ...]:
    """All hunks in a piece of a patch, whatever stands between them."""
    return tuple(hunk for part in _sections(raw) for hunk in _taken_apart(part)[1])


def _sections(data: bytes) -> Iterator[list[bytes]]:
    """The lines of each ``diff --git`` part."""
    current: list[bytes] = []
    old = new = 0
    for line in _lines(data):
        if old > 0 or new > 0:
            sign = line[:1]
            old -= sign in (b"-", b" ")
            new -= sign in (b"+", b" ")
        elif line.startswith(_FILE):
            if current:
                yield current
            current = []
        elif match := _HUNK.match(line):
            old, new = int(match[2] or b"1"), int(match[4] or b"1")
        current.append(line)
    if current:
        yield current


def _lines(data: bytes) -> list[bytes]:
    """By line feeds alone."""
    *lines, rest = data.split(b"\n")
    return [*(line + b"\n" for line in lines), *([rest] if rest else [])]


def _taken_apart(section: list[bytes]) -> tuple[tuple[bytes, ...], tuple[PatchHunk, ...]]:
    starts = []
    old = new = 0
    for number, line in enumerate(section):
        if old > 0 or new > 0:
            sign = line[:1]
            old -= sign in (b"-", b" ")
            new -= sign in (b"+", b" ")
        elif match := _HUNK.match(line):
            starts.append(number)
            old, new = int(match[2] or b"1"), int(match[4] or b"1")
    if not starts:
        return tuple(section), ()
    ends = [*starts[1:], len(section)]
    hunks = tuple(
        PatchHunk(header=section[start], lines=tuple(section[start + 1 : end]))
        for start, end in zip(starts, ends, strict=True)
    )
    return tuple(section[: starts[0]]), hunks


def _chosen(file: FileDiff, wanted: frozenset[int] | None) -> bytes:
    if wanted is None or wanted == frozenset(file.choices):
        return file.raw
    name = file.path.decode(errors="replace")
    if not file.choices:
        if wanted == {1} and file.hunks:
            return file.raw
        raise ChoiceRefused(f"{name} is taken as a whole, or not at all")
    if unknown := wanted - set(file.choices):
        hunks = "1 hunk" if len(file.hunks) == 1 else f"{len(file.hunks)} hunks"
        said = "mode" if MODE in unknown else min(unknown)
        raise ChoiceRefused(f"{name} has {hunks}, and no {said}")
    if not wanted:
        return b""
    head = [
        line
        for line in file.head
        # The ids of the whole file are those of another content.
        if not line.startswith((b"index ", b"similarity index "))
        and (MODE in wanted or not line.startswith(_MODES))
    ]
    pieces = []
    moved = 0
    for number, hunk in enumerate(file.hunks, 1):
        match = _HUNK.match(hunk.header)
        assert match is not None
        old, new = int(match[2] or b"1"), int(match[4] or b"1")
        if number not in wanted:
            moved -= new - old
            continue
        header = b"@@ -%s%s +%d%s @@%s" % (
            match[1],
            b"" if match[2] is None else b"," + match[2],
            int(match[3]) + moved,
            b"" if match[4] is None else b"," + match[4],
            hunk.header[match.end() :],
        )
        pieces += [header, *hunk.lines]
    if not pieces:  # the mode alone: git reads no names from these two lines
        head = [line for line in head if not line.startswith((b"--- ", b"+++ "))]
    return b"".join([*head, *pieces])


def patch_since(before: bytes, now: bytes, *, old: Iterable[Baseline]) -> Patch:
    """The patch from baseline + `before` to baseline + `now`.

    Args:
        old: what was kept with the two patches.

    Raises:
        PatchError: that does not fit them, or the patch can't be made.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="moonpool-since-") as place:
            scratch = Path(place)
            store = PackedStore(scratch / "store")
            standing: dict[bytes, ManifestEntry] = {}
            for kept in old:
                for path, entry in kept.entries.items():
                    if entry is not None and path not in standing:
                        kept.store.lend(entry.blob, store)
                        standing[path] = entry
            then = _after(before, standing, store, scratch / "before")
            after = _after(now, standing, store, scratch / "now")
            return _between(store, then, after)
    except OSError as problem:
        raise PatchError(f"the patch can't be compared with the one before: {problem}") from problem


def _between(
    store: PackedStore,
    then: dict[bytes, ManifestEntry],
    after: dict[bytes, ManifestEntry],
    compared: frozenset[bytes] = frozenset(),
) -> Patch:
    changed = {
        path: after.get(path)
        for path in {*then, *after}
        if not same_file(then.get(path), after.get(path))
    }
    manifest = Manifest(entries=then, tracked=None, rule_files={})
    return make_patch(store, manifest, changed, compared=compared)


def _after(
    patch: bytes, standing: dict[bytes, ManifestEntry], store: PackedStore, scratch: Path
) -> dict[bytes, ManifestEntry]:
    if not patch:
        return dict(standing)
    scratch.mkdir()
    file = scratch / "patch.diff"
    file.write_bytes(patch)
    return apply_to_entries(store, standing, file, index=scratch / "index", timeout_s=_GIT_S)
