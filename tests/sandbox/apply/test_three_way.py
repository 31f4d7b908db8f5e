"""A three-way merge: what both sides changed apart comes together, what they share is refused."""

from pathlib import Path

import pytest

from generators.file_trees import (
    World,
    entries,
    file,
    link,
    patch_between,
    program,
    read_world,
    write_world,
)
from sandbox.apply.directory import apply_patch
from sandbox.errors import PatchError
from sandbox.git.apply import DoesNotApply
from sandbox.git.store import Store
from sandbox.patch import baseline
from sandbox.patch.baseline import Baseline

LINES = [b"line %d\n" % number for number in range(20)]


def with_line(number: int, text: bytes, *, of: list[bytes] = LINES) -> bytes:
    return b"".join([*of[:number], text, *of[number + 1 :]])


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def kept(tmp_path: Path, old: World, new: World) -> tuple[bytes, Baseline]:
    """The patch from old to new, and its baseline as a run's directory keeps it."""
    store = Store(tmp_path / "store")
    patch = patch_between(store, old, new)
    before = entries(store, old)
    touched = {path: before.get(path) for path in patch.results}
    assert baseline.keep(tmp_path / "kept", store, touched)
    loaded = baseline.load(tmp_path / "kept")
    assert loaded is not None
    return patch.data, loaded


def merged(tmp_path: Path, target: Path, *, old: World, new: World, here: World) -> World:
    """`here` after the patch from old to new; the patch alone must not fit."""
    patch, base = kept(tmp_path, old, new)
    write_world(target, here)
    with pytest.raises(DoesNotApply):
        apply_patch(patch, target, check=False)
    assert read_world(target) == here
    checked = apply_patch(patch, target, check=True, baseline=base)
    assert read_world(target) == here
    done = apply_patch(patch, target, check=False, baseline=base)
    assert done == checked
    return read_world(target)


def conflicting(tmp_path: Path, target: Path, *, old: World, new: World, here: World) -> str:
    """The refusal; nothing is written."""
    patch, base = kept(tmp_path, old, new)
    write_world(target, here)
    with pytest.raises(DoesNotApply) as refused:
        apply_patch(patch, target, check=False, baseline=base)
    assert read_world(target) == here
    return str(refused.value)


def test_lines_changed_on_both_sides_come_together(tmp_path: Path, target: Path) -> None:
    # So near each other that the hunk's context does not match.
    done = merged(
        tmp_path,
        target,
        old={b"a": file(b"".join(LINES)), b"b": file(b"1\n")},
        new={b"a": file(with_line(5, b"theirs\n")), b"b": file(b"2\n")},
        here={b"a": program(with_line(7, b"ours\n")), b"b": file(b"1\n")},
    )
    text = with_line(7, b"ours\n").replace(b"line 5\n", b"theirs\n")
    assert done == {b"a": program(text), b"b": file(b"2\n")}


def test_a_mode_changed_by_the_patch_meets_lines_changed_here(tmp_path: Path, target: Path) -> None:
    done = merged(
        tmp_path,
        target,
        old={b"a": file(b"".join(LINES))},
        new={b"a": program(with_line(5, b"theirs\n"))},
        here={b"a": file(with_line(7, b"ours\n"))},
    )
    assert done[b"a"][0] == program()[0]


def test_what_is_there_already_is_left_as_it_is(tmp_path: Path, target: Path) -> None:
    there = {b"a": file(b"2\n"), b"new": link(b"a")}
    patch, base = kept(tmp_path, {b"a": file(b"1\n"), b"b": file(b"x\n")}, there)
    write_world(target, there)
    for known in (None, base):
        done = apply_patch(patch, target, check=False, baseline=known)
        assert done == ()
    assert read_world(target) == there


def test_what_is_there_in_part_is_no_patch_that_is_there(tmp_path: Path, target: Path) -> None:
    patch, _ = kept(
        tmp_path,
        {b"a": file(b"1\n"), b"b": file(b"1\n")},
        {b"a": file(b"2\n"), b"b": file(b"2\n")},
    )
    half = {b"a": file(b"2\n"), b"b": file(b"1\n")}
    write_world(target, half)
    with pytest.raises(DoesNotApply):
        apply_patch(patch, target, check=False)
    assert read_world(target) == half


def test_the_same_line_changed_differently_is_a_conflict(tmp_path: Path, target: Path) -> None:
    said = conflicting(
        tmp_path,
        target,
        old={b"a": file(b"1\n"), b"b": file(b"1\n")},
        new={b"a": file(b"2\n"), b"b": file(b"2\n")},
        here={b"a": file(b"3\n"), b"b": file(b"1\n")},
    )
    assert "a: was changed here at the same lines" in said
    assert "Nothing was changed" in said


@pytest.mark.parametrize(
    ("sides", "reason"),
    [
        (
            ({b"a": file(b"1\n")}, {}, {b"a": file(b"3\n")}),
            "was changed here, and the patch removes",
        ),
        (({b"a": file(b"1\n")}, {b"a": file(b"2\n")}, {}), "is gone here"),
        (({}, {b"a": file(b"2\n")}, {b"a": file(b"3\n")}), "is there already"),
        (({b"a": link(b"x")}, {b"a": link(b"y")}, {b"a": link(b"z")}), "one of both is a link"),
        (({b"a": file(b"\0")}, {b"a": file(b"\0\1")}, {b"a": file(b"\0\2")}), "or is no text"),
    ],
)
def test_a_conflict_names_its_reason(
    tmp_path: Path, target: Path, sides: tuple[World, World, World], reason: str
) -> None:
    old, new, here = sides
    target.mkdir()
    assert reason in conflicting(tmp_path, target, old=old, new=new, here=here)


def test_attributes_of_the_target_choose_no_merge_driver(tmp_path: Path, target: Path) -> None:
    here = {
        b"a": file(with_line(7, b"ours\n")),
        b".gitattributes": file(b"* merge=union merge=evil filter=evil\n"),
    }
    done = merged(
        tmp_path,
        target,
        old={b"a": file(b"".join(LINES))},
        new={b"a": file(with_line(5, b"theirs\n"))},
        here=here,
    )
    assert done[b"a"][1].count(b"\n") == len(LINES)


def test_old_files_that_were_tampered_with_are_not_merged_from(
    tmp_path: Path, target: Path
) -> None:
    old, new = {b"a": file(b"".join(LINES))}, {b"a": file(with_line(5, b"theirs\n"))}
    patch, _ = kept(tmp_path, old, new)
    index = tmp_path / "kept" / "index"
    other = Store(tmp_path / "kept").put((b"evil\n",), 5)
    index.write_bytes(b"100644 %s 5\ta\0" % other.encode())
    write_world(target, {b"a": file(with_line(7, b"ours\n"))})
    with pytest.raises(PatchError, match="not those it was made against"):
        apply_patch(patch, target, check=False, baseline=baseline.load(tmp_path / "kept"))


@pytest.mark.parametrize(
    "row", [b"100644 zz 5\ta\0", b"nonsense\0", b"100644 %s 5\t../a\0", b"40000 %s 5\ta\0"]
)
def test_a_damaged_index_is_an_error(tmp_path: Path, row: bytes) -> None:
    store = Store(tmp_path / "kept")
    blob = store.put((b"x",), 1).encode()
    (tmp_path / "kept" / "index").write_bytes(row.replace(b"%s", blob))
    with pytest.raises(PatchError):
        baseline.load(tmp_path / "kept")


def test_without_kept_files_there_is_no_baseline(tmp_path: Path) -> None:
    assert baseline.load(tmp_path / "nothing") is None


def test_more_than_the_limit_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "LIMIT_BYTES", 4)
    store = Store(tmp_path / "store")
    assert not baseline.keep(tmp_path / "kept", store, entries(store, {b"a": file(b"12345")}))
    assert baseline.load(tmp_path / "kept") is None
