"""What goes into a patch, what is left out of it, and that no lie costs more than itself."""

import subprocess
from pathlib import Path

import pytest

from generators.file_trees import (
    World,
    changes,
    entries,
    file,
    link,
    manifest,
    patch_between,
    program,
)
from sandbox.errors import PatchError
from sandbox.git.diff import Comparison
from sandbox.git.manifest import FILE, Manifest, ManifestEntry, Trees
from sandbox.git.path_rules import is_dot_git, leaves_tree, link_refusal, refusal
from sandbox.git.run import git_program
from sandbox.git.store import Store
from sandbox.patch.make import LINES_LIMIT_BYTES, PatchLimits, apply_proof, make_patch
from sandbox.patch.values import ChangeKind, LeftOut


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_no_change_is_an_empty_patch(store: Store) -> None:
    world = {b"a": file(), b"b": link(b"a")}
    before = manifest(store, world)
    same = {b"a": before.entries[b"a"], b"b": before.entries[b"b"], b"gone before": None}
    patch = make_patch(store, before, same, left_out=[LeftOut(path=b"s", reason="a socket")])
    assert (patch.data, patch.changes, patch.results) == (b"", (), {})
    assert patch.tree == patch.base_tree == Trees.of(before.entries).root
    assert [item.path for item in patch.left_out] == [b"s"]


def test_changes_tell_kind_modes_and_lines(store: Store) -> None:
    lines = b"".join(b"%d\n" % number for number in range(20))
    old = {
        b"edit": file(lines),
        b"gone": file(lines[2:]),
        b"moved": file(b"x\n" * 30),
        b"t": file(b"x"),
    }
    new = {
        b"edit": program(lines + b"more\n"),
        b"new\nname": file(b"\0"),
        b"to/moved": file(b"x\n" * 30 + b"y\n"),
        b"t": link(b"x"),
    }
    found = {change.path: change for change in patch_between(store, old, new).changes}
    assert {path: change.kind for path, change in found.items()} == {
        b"edit": ChangeKind.MODIFIED,
        b"gone": ChangeKind.DELETED,
        b"new\nname": ChangeKind.ADDED,
        b"to/moved": ChangeKind.RENAMED,
        b"t": ChangeKind.MODIFIED,
    }
    edit = found[b"edit"]
    assert (edit.old_mode, edit.new_mode) == (0o100644, 0o100755)
    assert (edit.added_lines, edit.deleted_lines) == (1, 0)
    assert found[b"new\nname"].added_lines is None
    assert found[b"new\nname"].old_blob == "0" * 40
    assert found[b"to/moved"].old_path == b"moved"
    assert found[b"to/moved"].added_lines == 1
    assert found[b"t"].new_mode == 0o120000


def test_results_and_links_are_what_applying_gave(store: Store) -> None:
    old = {b"a": file(), b"d/f": file()}
    new = {b"a": link(b"d"), b"d": program()}
    patch = patch_between(store, old, new)
    expected = entries(store, new)
    assert patch.results == {b"a": expected[b"a"], b"d": expected[b"d"], b"d/f": None}
    assert patch.links == {b"a": b"d"}


def test_unchanged_files_need_not_be_in_the_store(store: Store) -> None:
    known = entries(store, {b"d/a": file()})
    absent = {b"d/b": ManifestEntry(FILE, "b" * 40, 7), b"e/f/g": ManifestEntry(FILE, "c" * 40, 7)}
    before = Manifest(entries={**known, **absent}, tracked=None, rule_files={})
    patch = make_patch(store, before, {b"d/a": entries(store, {b"x": file(b"new\n")})[b"x"]})
    assert [change.path for change in patch.changes] == [b"d/a"]


def test_a_change_whose_content_is_missing_is_an_error_that_names_it(store: Store) -> None:
    with pytest.raises(PatchError, match=r"'a'.*not in the store"):
        make_patch(store, manifest(store, {}), {b"a": ManifestEntry(FILE, "b" * 40, 7)})


@pytest.mark.parametrize(
    "path",
    [
        b".git/config",
        b"sub/.git/hooks/post-checkout",
        b".GIT/config",
        b"a/.Git",
        b".git ",
        b".git./x",
        b"git~1/config",
        b".git::$INDEX_ALLOCATION/x",
        b"a\\.git\\x",
        ".g\u200cit/config".encode(),
        "\ufeff.git".encode(),
        b"../outside",
        b"a/../../b",
        b"/etc/passwd",
        b"a//b",
        b"a/./b",
        b"nul\0byte",
        b"",
        b"x" * 256,
        b"d/" * 2000 + b"f",
        b"y/" * 1100 + b"f",
    ],
)
def test_paths_that_no_patch_may_carry_are_left_out_with_a_reason(
    path: bytes, store: Store
) -> None:
    entry = entries(store, {b"x": file()})[b"x"]
    patch = make_patch(store, manifest(store, {}), {path: entry, b"fine": entry})
    assert [change.path for change in patch.changes] == [b"fine"]
    assert [(item.path, bool(item.reason)) for item in patch.left_out] == [(path, True)]


@pytest.mark.parametrize(
    "path", [b".github/x", b".gitignore", b"git", b".gitmodules", b"a.git", b"git~2", b".gitx/y"]
)
def test_paths_that_only_look_like_gits_own_go_in(path: bytes) -> None:
    assert refusal(path) is None


def test_a_link_that_git_refuses_does_not_cost_the_patch(store: Store) -> None:
    new = {b".gitmodules": link(b"x"), b"GITMOD~1": link(b"x"), b"l": link(b"x")}
    patch = patch_between(store, {}, new)
    assert [change.path for change in patch.changes] == [b"l"]
    assert len(patch.left_out) == 2


@pytest.mark.parametrize("target", [b"", b"a\0b", b"x" * 4096])
def test_a_link_that_no_file_system_holds_is_left_out(target: bytes, store: Store) -> None:
    patch = patch_between(store, {}, {b"l": link(target), b"f": file()})
    assert [item.path for item in patch.left_out] == [b"l"]
    assert [change.path for change in patch.changes] == [b"f"]


@pytest.mark.slow
def test_every_name_that_git_refuses_is_refused_here_first(store: Store) -> None:
    """Else one odd name would cost the whole patch: git refuses all of it."""
    stems = [
        b".git",
        b".GiT",
        b"git~1",
        b"GIT~1",
        b"git~2",
        b".gitmodules",
        b"gitmod~1",
        b"gi7eba~1",
    ]
    stems += [b"GI7EB~12", b"~1000000", b".gitignore", b"g~1", b"gitmod~5", b".gi", b"x"]
    decorated = [
        prefix + stem + suffix
        for stem in stems
        for prefix in (b"", b"\\", b"a\\", "\u200d".encode(), b" ")
        for suffix in (b"", b" ", b". .", b":", b"::$DATA", b"\\x", b"x", "\u206f".encode())
    ]
    blob = store.put((b"target",), 6)
    refused = 0
    for mode in (b"100644", b"120000"):
        # One at a time would take minutes: git says of each path in a patch whether it may be.
        for name in decorated:
            ours = refusal(name) or (mode == b"120000" and link_refusal(name, b"target"))
            if not ours and not git_takes(store, mode, blob, name):
                pytest.fail(f"git refuses {name!r} as {mode!r}, and we do not")
            refused += bool(ours)
    assert refused > 200


def git_takes(store: Store, mode: bytes, blob: str, name: bytes) -> bool:
    done = subprocess.run(
        [
            git_program(),
            *("-c", "core.protectHFS=true", "-c", "core.protectNTFS=true"),
            *("update-index", "-z", "--index-info"),
        ],
        input=b"%s %s 0\t%s\0" % (mode, blob.encode(), name),
        env={"GIT_DIR": str(store.directory), "GIT_INDEX_FILE": str(store.directory / "try")},
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def test_a_contradictory_report_of_changes_loses_only_its_own_change(store: Store) -> None:
    old = {b"d/x": file(), b"f": file(), b"k": file()}
    entry = entries(store, {b"x": file(b"new\n")})[b"x"]
    lies = {b"d": entry, b"f/below": entry, b"both": entry, b"both/below": entry, b"k": entry}
    patch = make_patch(store, manifest(store, old), lies)
    assert {change.path for change in patch.changes} == {b"both", b"k"}
    assert {item.path for item in patch.left_out} == {b"d", b"f/below", b"both/below"}


def test_a_file_makes_room_for_a_directory_with_unchanged_siblings(store: Store) -> None:
    old = {b"a": file(), b"a.txt": file(), b"b/c": file()}
    new = {b"a/b": file(b"new\n"), b"a.txt": file(), b"b/c": file()}
    patch = make_patch(store, manifest(store, old), changes(store, old, new))
    assert patch.tree == Trees.of(entries(store, new)).root


def test_a_patch_beyond_its_limit_is_refused(store: Store) -> None:
    with pytest.raises(PatchError, match="more than the limit"):
        make_patch(
            store,
            manifest(store, {}),
            entries(store, {b"a": file(b"x\n" * 10_000)}),
            limits=PatchLimits(patch_bytes=1000),
        )


def test_a_very_large_text_is_carried_as_binary_data(store: Store) -> None:
    """Line by line, git takes eight times its size in memory."""
    big = b"a line of text\n" * (LINES_LIMIT_BYTES // 15 + 1)
    names = [b"big", b'd[a]/* "\\\n\t!\xff ?', b" ", b"#x"]
    old: World = {b"small": file(b"1\n")}
    new = {b"small": file(b"2\n"), **{name: file(big) for name in names}}
    patch = patch_between(store, old, new)
    assert len(patch.data) < 1_000_000
    assert patch.data.count(b"GIT binary patch\n") == len(names)
    assert b"-1\n+2\n" in patch.data
    assert {change.added_lines for change in patch.changes} == {None, 1}


def test_git_that_takes_too_long_is_stopped(store: Store) -> None:
    with pytest.raises(PatchError, match="stopped after"):
        make_patch(
            store,
            manifest(store, {}),
            entries(store, {b"a": file()}),
            limits=PatchLimits(git_s=0, renames_s=0),
        )


def test_where_finding_renames_takes_too_long_there_is_a_patch_without(store: Store) -> None:
    old, new = {b"a": file(b"x\n" * 50)}, {b"b": file(b"x\n" * 50)}
    patch = make_patch(
        store, manifest(store, old), changes(store, old, new), limits=PatchLimits(renames_s=0)
    )
    assert {change.kind for change in patch.changes} == {ChangeKind.ADDED, ChangeKind.DELETED}


def test_thousands_of_changed_files_make_one_patch(store: Store) -> None:
    old = {b"d%d/f%d" % (number % 40, number): file(b"%d\n" % number) for number in range(2000)}
    new = {path: file(content + b"more\n") for path, (_, content) in old.items()}
    assert len(patch_between(store, old, new).changes) == 2000


class TestProof:
    """The proof reads the patch, and nothing else."""

    def made(self, store: Store, tmp_path: Path) -> tuple[Path, dict[bytes, ManifestEntry], str]:
        old = entries(store, {b"text": file(b"old\n"), b"binary": file(b"\0old" * 50)})
        new = entries(store, {b"text": file(b"new\n"), b"binary": file(b"\0new" * 50)})
        before, after = Trees.of(old), Trees.of(new)
        for trees in (before, after):
            trees.write_above(old.keys(), store.put_tree)
        patch = tmp_path / "patch.diff"
        Comparison(
            directory=store.directory, old=before.root, new=after.root, renames=True, timeout_s=60
        ).write_patch(patch, limit_bytes=10_000)
        return patch, old, after.root

    def test_an_exact_patch_gives_the_tree(self, store: Store, tmp_path: Path) -> None:
        patch, old, tree = self.made(store, tmp_path)
        results = apply_proof(store, old, patch)
        assert Trees.of(old).changed(results)[0].root == tree

    def test_a_changed_line_gives_another_tree(self, store: Store, tmp_path: Path) -> None:
        patch, old, tree = self.made(store, tmp_path)
        patch.write_bytes(patch.read_bytes().replace(b"+new\n", b"+nEw\n"))
        results = apply_proof(store, old, patch)
        assert Trees.of(old).changed(results)[0].root != tree

    def test_other_binary_data_is_found_although_the_store_has_the_result(
        self, store: Store, tmp_path: Path
    ) -> None:
        """git takes the result of a binary patch from its objects where it is there."""
        before, after = {b"a": file(b"\0old" * 50)}, {b"a": file(b"\0new" * 50)}
        right = patch_between(store, before, after)
        wrong = patch_between(store, before, {b"a": file(b"\0bad" * 50)})
        head, _, _ = right.data.partition(b"GIT binary patch\n")
        _, _, data = wrong.data.partition(b"GIT binary patch\n")
        patch = tmp_path / "patch.diff"
        patch.write_bytes(head + b"GIT binary patch\n" + data)
        with pytest.raises(PatchError, match="does not fit"):
            apply_proof(store, entries(store, before), patch)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (b"l", b"/etc/passwd"),
        (b"l", b".."),
        (b"a/l", b"../.."),
        (b"a/b/l", b"../../../x"),
        (b"a/l", b"./../../x"),
        (b"a/b/c/l", b"up/../../x"),  # where up is a link to the root, this leaves
        (b"l", b"C:\\x"),
        (b"l", b"..\\x"),
    ],
)
def test_links_that_can_lead_out_are_told(path: bytes, target: bytes) -> None:
    assert leaves_tree(path, target)


@pytest.mark.parametrize(
    ("path", "target"),
    [(b"l", b"a/b"), (b"a/l", b"../b"), (b"a/b/l", b"../../c/d"), (b"l", b"..."), (b"l", b"./a")],
)
def test_links_that_stay_inside_are_left_alone(path: bytes, target: bytes) -> None:
    assert not leaves_tree(path, target)


def test_git_itself_is_no_dot_git() -> None:
    assert not is_dot_git(b"git")
    assert is_dot_git(b".git")
