"""Tree ids are git's, whatever the names, and a change costs only what lies above it."""

from pathlib import Path

import pytest
from hypothesis import given, settings

from generators.file_trees import World, entries, file, link, program, user_commit, write_world
from generators.random_file_trees import pairs
from sandbox.errors import PatchError
from sandbox.git.manifest import FILE, ManifestEntry, Trees
from sandbox.git.store import Store

EMPTY = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
ENTRY = ManifestEntry(FILE, "a" * 40, 1)


def test_nothing_at_all_is_the_empty_tree() -> None:
    assert Trees.of({}).root == EMPTY


def test_names_sort_as_git_sorts_them(tmp_path: Path) -> None:
    world = {
        b"a/x": file(),
        b"a.b": file(),
        b"a-b": link(b"a/x"),
        b"a0": program(),
        b"a/b/c": file(b""),
        b"a\xff/z": file(),
        b"ab": file(),
    }
    write_world(tmp_path / "checkout", world)
    ours = Trees.of(entries(Store(tmp_path / "store"), world)).root
    assert ours == user_commit(tmp_path / "checkout")


@settings(max_examples=100, deadline=None)
@given(pairs())
def test_a_changed_tree_is_the_tree_of_the_changed_files(pair: tuple[World, World]) -> None:
    old, new = (
        {
            path: ManifestEntry(mode, content.hex().ljust(40, "0")[:40], 0)
            for path, (mode, content) in w.items()
        }
        for w in pair
    )
    before = Trees.of(old)
    root = before.root
    after, unplaced = before.changed({path: new.get(path) for path in {*old, *new}})
    assert unplaced == ()
    assert after.root == Trees.of(new).root
    assert before.root == root == Trees.of(old).root


def test_only_trees_above_the_change_are_written() -> None:
    trees = Trees.of({b"a/b/c": ENTRY, b"a/d/e": ENTRY, b"f/g": ENTRY, b"h": ENTRY})
    written: list[bytes] = []

    def put(content: bytes) -> str:
        written.append(content)
        return ""

    trees.write_above([b"a/b/c", b"no/such"], put)
    assert len(written) == 3  # the root, a, a/b


def test_a_file_above_or_below_a_file_finds_no_place() -> None:
    trees = Trees.of({b"a": ENTRY, b"d/x": ENTRY, b"d/y": ENTRY})
    for lie in ({b"a/b": ENTRY}, {b"d": ENTRY}, {b"d": ENTRY, b"d/x": None}):
        changed, unplaced = trees.changed(lie)
        assert len(unplaced) == 1
    changed, unplaced = trees.changed(
        {b"a": None, b"a/b": ENTRY, b"d": ENTRY, b"d/x": None, b"d/y": None}
    )
    assert unplaced == ()
    assert changed.root == Trees.of({b"a/b": ENTRY, b"d": ENTRY}).root


def test_what_goes_without_having_been_there_changes_nothing() -> None:
    trees = Trees.of({b"a/b": ENTRY})
    assert trees.changed({b"a": None, b"c": None, b"a/b/c": None})[0].root == trees.root


def test_a_very_deep_path_has_a_tree() -> None:
    deep = b"/".join([b"d"] * 3000)
    assert Trees.of({deep: ENTRY}).changed({deep: None})[0].root == EMPTY


@pytest.mark.parametrize(
    "files",
    [
        {b"a": ENTRY, b"a/b": ENTRY},
        {b"a/b": ENTRY, b"a": ENTRY},
        {b"": ENTRY},
        {b"/a": ENTRY},
        {b"a//b": ENTRY},
        {b"a/": ENTRY},
        {b"a\0b": ENTRY},
        {b"a": ManifestEntry(0o160000, "a" * 40, 0)},
        {b"a": ManifestEntry(FILE, "a" * 39, 0)},
    ],
)
def test_a_baseline_that_no_directory_can_hold_is_refused(
    files: dict[bytes, ManifestEntry],
) -> None:
    with pytest.raises(PatchError):
        Trees.of(files)
