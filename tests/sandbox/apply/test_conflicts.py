"""Where a patch can't be merged is said by line, with all three sides."""

from pathlib import Path

import pytest

from generators.file_trees import entries, file, patch_between, read_world, write_world
from sandbox.apply.conflicts import ConflictRegion, conflict_regions
from sandbox.apply.directory import apply_patch
from sandbox.errors import PatchError
from sandbox.git.store import Store
from sandbox.patch import baseline

LINES = [b"line %d\n" % number for number in range(1, 21)]


def changed(**lines: bytes) -> bytes:
    """The lines with some replaced, by ``_NUMBER``."""
    said = {int(name.removeprefix("_")): text for name, text in lines.items()}
    return b"".join(said.get(number, line) for number, line in enumerate(LINES, 1))


def regions(tmp_path: Path, theirs: bytes, ours: bytes) -> tuple[ConflictRegion, ...]:
    old, new = {b"f": file(b"".join(LINES))}, {b"f": file(theirs)}
    store = Store(tmp_path / "store")
    patch = patch_between(store, old, new)
    assert baseline.keep(tmp_path / "kept", store, entries(store, old))
    kept = baseline.load(tmp_path / "kept")
    assert kept is not None
    target = tmp_path / "target"
    write_world(target, {b"f": file(ours)})
    found = conflict_regions(patch.data, target, kept)
    assert read_world(target) == {b"f": file(ours)}
    if found:
        with pytest.raises(PatchError, match="can't be merged"):
            apply_patch(patch.data, target, check=True, baseline=kept)
    return found


def test_lines_that_both_changed_are_told_where_they_stand_now(tmp_path: Path) -> None:
    theirs = changed(_3=b"theirs 3\n", _10=b"theirs 10\n", _18=b"both 18\n")
    ours = b"first\nsecond\n" + changed(_10=b"ours 10\nours 11\n", _18=b"both 18\n")
    (region,) = regions(tmp_path, theirs, ours)
    assert (region.path, region.line) == (b"f", 12)
    assert region.ours == (b"ours 10", b"ours 11")
    assert region.base == (b"line 10",)
    assert region.theirs == (b"theirs 10",)


def test_lines_that_one_removed_are_told_too(tmp_path: Path) -> None:
    theirs = changed(_5=b"", _6=b"theirs 6\n", _7=b"")
    ours = changed(_6=b"", _2=b"")
    (region,) = regions(tmp_path, theirs, ours)
    assert (region.line, region.ours) == (4, (b"line 5", b"line 7"))
    assert region.base == (b"line 5", b"line 6", b"line 7")
    assert region.theirs == (b"theirs 6",)


def test_lines_that_look_like_a_diff_are_lines(tmp_path: Path) -> None:
    hostile = b"@@ -1,3 +1,400 @@\n<<<<<<< \x1b[2J\n"
    (region,) = regions(tmp_path, changed(_4=hostile), changed(_4=b"=======\n"))
    assert region.line == 4
    assert region.ours == (b"=======",)
    assert b"\n".join(region.theirs) + b"\n" == hostile


def test_there_is_none_where_both_are_apart(tmp_path: Path) -> None:
    assert regions(tmp_path, changed(_3=b"x\n"), changed(_9=b"y\n")) == ()
