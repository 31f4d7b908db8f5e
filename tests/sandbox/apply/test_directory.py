"""Applying: what fits is applied to the byte, what does not is refused and nothing is written."""

import os
from pathlib import Path
from typing import ClassVar

import pytest

from generators.file_trees import (
    World,
    file,
    link,
    patch_between,
    program,
    read_world,
    user_commit,
    user_git,
    write_world,
)
from sandbox.apply.directory import apply_patch
from sandbox.apply.replace import STAGING_PREFIX, Replacement, replace_files
from sandbox.apply.target import PresentFile, opened
from sandbox.errors import PatchError
from sandbox.git.apply import DoesNotApply
from sandbox.git.manifest import ManifestEntry
from sandbox.git.store import Store
from sandbox.patch.values import ChangeKind

LINES = [b"line %d\n" % number for number in range(60)]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def made(tmp_path: Path, old: World, new: World) -> bytes:
    return patch_between(Store(tmp_path / "store"), old, new).data


def refused(patch: bytes, target: Path, *, message: str) -> None:
    """It is refused by a check and in earnest, and not a byte is different afterwards."""
    before = read_world(target)
    for check in (True, False):
        with pytest.raises(PatchError, match=message):
            apply_patch(patch, target, check=check)
        assert read_world(target) == before
        assert not [name for name in os.listdir(target) if name.startswith(".moonpool")]


def test_a_check_tells_the_changes_and_writes_nothing(tmp_path: Path, target: Path) -> None:
    old, new = {b"a": file(), b"b": file()}, {b"a": program(), b"c/d": link(b"../a")}
    patch = made(tmp_path, old, new)
    write_world(target, old)
    before = sorted(os.walk(target))
    checked = apply_patch(patch, target, check=True)
    assert sorted(os.walk(target)) == before
    assert read_world(target) == old
    done = apply_patch(patch, target, check=False)
    assert checked == done
    assert {change.kind for change in done} == {
        ChangeKind.MODIFIED,
        ChangeKind.DELETED,
        ChangeKind.ADDED,
    }
    assert sorted(change.path for change in done) == [b"a", b"b", b"c/d"]


def test_an_empty_patch_does_nothing(target: Path) -> None:
    write_world(target, {b"a": file()})
    assert apply_patch(b"", target, check=False) == ()


def test_hunks_are_found_again_in_a_file_that_changed_elsewhere(
    tmp_path: Path, target: Path
) -> None:
    patch = made(
        tmp_path, {b"a": file(b"".join(LINES))}, {b"a": file(b"".join([*LINES, b"end\n"]))}
    )
    write_world(target, {b"a": file(b"".join([b"mine\n", *LINES])), b"untracked": file()})
    apply_patch(patch, target, check=False)
    assert read_world(target) == {
        b"a": file(b"".join([b"mine\n", *LINES, b"end\n"])),
        b"untracked": file(),
    }


def test_a_conflict_names_file_and_line(tmp_path: Path, target: Path) -> None:
    new = [*LINES[:40], b"theirs\n", *LINES[41:]]
    patch = made(
        tmp_path,
        {b"dir/a": file(b"".join(LINES)), b"b": file()},
        {b"dir/a": file(b"".join(new)), b"b": file(b"new\n")},
    )
    write_world(
        target,
        {b"dir/a": file(b"".join([*LINES[:40], b"mine\n", *LINES[41:]])), b"b": file()},
    )
    refused(patch, target, message="dir/a: the hunk at line 38 does not match")


def test_every_conflict_is_told_at_once(tmp_path: Path, target: Path) -> None:
    old = {b"gone": file(b"1\n"), b"other": file(b"1\n"), b"bin": file(b"\0" * 9)}
    new = {b"gone": file(b"2\n"), b"other": file(b"2\n"), b"there": file(), b"bin": file(b"\0" * 8)}
    patch = made(tmp_path, old, new)
    write_world(target, {b"other": file(b"3\n"), b"there": file(b"mine\n"), b"bin": file(b"\0")})
    with pytest.raises(DoesNotApply) as conflict:
        apply_patch(patch, target, check=True)
    assert len(conflict.value.conflicts) == 4
    assert "bin: is another binary file than the patch was made for" in conflict.value.conflicts
    assert "gone: is not there" in conflict.value.conflicts
    assert "there: is there already" in conflict.value.conflicts
    assert "other: the hunk at line 1 does not match" in conflict.value.conflicts
    assert str(conflict.value).endswith("Nothing was changed.")
    refused(patch, target, message="Nothing was changed")


def test_control_characters_of_a_name_do_not_reach_the_terminal(
    tmp_path: Path, target: Path
) -> None:
    patch = made(tmp_path, {b"\x1b[2Jx": file(b"1\n")}, {b"\x1b[2Jx": file(b"2\n")})
    write_world(target, {})
    with pytest.raises(PatchError) as conflict:
        apply_patch(patch, target, check=False)
    assert str(conflict.value).isprintable()


@pytest.mark.parametrize(
    "patch",
    [
        b"no patch at all\n",
        b"diff --git a/x b/x\n",
        b"\0\xff" * 100,
        b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n",
    ],
)
def test_what_is_no_patch_is_refused(patch: bytes, target: Path) -> None:
    write_world(target, {b"x": file()})
    refused(patch, target, message="does not fit")


def test_permissions_that_git_does_not_know_are_kept(tmp_path: Path, target: Path) -> None:
    old = {b"secret": file(b"1\n"), b"run": file(b"1\n"), b"stop": program(b"1\n")}
    new = {b"secret": file(b"2\n"), b"run": program(b"1\n"), b"stop": file(b"1\n")}
    patch = made(tmp_path, old, new)
    write_world(target, old)
    (target / "secret").chmod(0o600)
    (target / "run").chmod(0o640)
    (target / "stop").chmod(0o4750)
    apply_patch(patch, target, check=False)
    modes = {name: (target / name).stat().st_mode & 0o7777 for name in ("secret", "run", "stop")}
    assert modes == {"secret": 0o600, "run": 0o750, "stop": 0o640}


def test_folders_that_lose_their_last_file_go_and_others_stay(tmp_path: Path, target: Path) -> None:
    old = {b"a/b/c": file(), b"d/e": file(), b"k": file()}
    patch = made(tmp_path, old, {b"k": file()})
    write_world(target, {**old, b"d/mine": file()})
    apply_patch(patch, target, check=False)
    assert not (target / "a").exists()
    assert read_world(target) == {b"d/mine": file(), b"k": file()}


def test_a_directory_with_files_of_its_owner_does_not_give_way(
    tmp_path: Path, target: Path
) -> None:
    patch = made(tmp_path, {b"d/e": file()}, {b"d": file(b"flat\n")})
    write_world(target, {b"d/e": file(), b"d/sub/mine": file()})
    refused(patch, target, message="'d/sub/mine', which the patch does not know")


def test_empty_directories_in_it_do(tmp_path: Path, target: Path) -> None:
    patch = made(tmp_path, {b"d/e": file()}, {b"d": file(b"flat\n")})
    write_world(target, {b"d/e": file()})
    (target / "d/x/y").mkdir(parents=True)
    apply_patch(patch, target, check=False)
    assert read_world(target) == {b"d": file(b"flat\n")}


def test_an_index_and_a_history_are_left_as_they_are(tmp_path: Path, target: Path) -> None:
    old = {b"a": file(b"1\n"), b"dirty": file(b"x\n")}
    patch = made(tmp_path, old, {**old, b"a": file(b"2\n")})
    write_world(target, old)
    user_commit(target)
    (target / "dirty").write_bytes(b"mine\n")
    before = {path: path.read_bytes() for path in (target / ".git").rglob("*") if path.is_file()}
    apply_patch(patch, target, check=False)
    after = {path: path.read_bytes() for path in (target / ".git").rglob("*") if path.is_file()}
    assert before == after
    assert user_git(target, "status", "--porcelain").splitlines() == [b"AM a", b"AM dirty"]


@pytest.mark.parametrize("what", ["nothing", "a file", "a git directory", "below a git directory"])
def test_only_a_directory_of_files_is_a_target(what: str, tmp_path: Path, target: Path) -> None:
    patch = made(tmp_path, {}, {b"a": file()})
    match what:
        case "nothing":
            pass
        case "a file":
            target.write_bytes(b"")
        case "a git directory":
            target.mkdir()
            user_git(target, "init", "-q", "--bare")
        case _:
            write_world(target, {b"x": file()})
            user_commit(target)
            target = target / ".git" / "info"
    with pytest.raises(PatchError, match=r"does not exist|is not a directory|git directory"):
        apply_patch(patch, target, check=False)


class TestAllOrNothing:
    """A failure in the middle of writing puts everything back."""

    OLD: ClassVar[World] = {
        b"edited": file(b"old\n"),
        b"gone/deep/x": program(b"old\n"),
        b"folder/x": file(b"old\n"),
        b"link": link(b"edited"),
    }
    NEW: ClassVar[World] = {
        b"edited": file(b"new\n"),
        b"folder": file(b"new\n"),
        b"link": file(b"new\n"),
        b"made/deep/y": file(b"new\n"),
        b"zz": file(b"last\n"),
    }

    def prepared(self, target: Path, store: Store) -> Replacement:
        write_world(target, self.OLD)
        with opened(target) as directory:
            seen = {path: directory.look(path, store) for path in self.OLD}
        placed = {
            path: ManifestEntry(mode, store.put((content,), len(content)), len(content))
            for path, (mode, content) in self.NEW.items()
        }
        removed = {path: what for path, what in seen.items() if isinstance(what, PresentFile)}
        return Replacement(removed=removed, placed=placed, folders=[b"folder"])

    def test_it_goes_through_when_nothing_fails(self, tmp_path: Path, target: Path) -> None:
        store = Store(tmp_path / "store")
        replacement = self.prepared(target, store)
        with opened(target) as directory:
            replace_files(directory, store, replacement)
        assert read_world(target) == self.NEW
        assert sorted(os.listdir(target)) == ["edited", "folder", "link", "made", "zz"]

    @pytest.mark.parametrize(
        "event",
        [
            "appeared",
            "edited",
            "replaced",
            "folder filled",
            "parent a link",
            "deleted",
            "no content",
        ],
    )
    def test_what_happens_meanwhile_undoes_it_all(
        self, event: str, tmp_path: Path, target: Path
    ) -> None:
        store = Store(tmp_path / "store")
        replacement = self.prepared(target, store)
        outside = tmp_path / "outside"
        outside.mkdir()
        match event:
            case "appeared":
                (target / "zz").write_bytes(b"mine\n")
            case "edited":
                with (target / "gone/deep/x").open("ab") as out:
                    out.write(b"mine\n")
            case "replaced":
                (target / "link").unlink()
                (target / "link").symlink_to("edited")
                (target / "other").symlink_to("edited")  # so that no inode number comes back
                os.replace(target / "other", target / "link")
            case "folder filled":
                (target / "folder/mine").write_bytes(b"mine\n")
            case "parent a link":
                (target / "made").symlink_to(outside)
            case "deleted":
                (target / "edited").unlink()
            case _:
                blob = replacement.placed[b"zz"].blob
                (store.directory / "objects" / blob[:2] / blob[2:]).unlink()
        before = read_world(target)
        with opened(target) as directory, pytest.raises(PatchError):
            replace_files(directory, store, replacement)
        assert read_world(target) == before
        assert (target / "gone/deep").is_dir()
        assert not any(name.startswith(STAGING_PREFIX) for name in os.listdir(bytes(target)))
        assert os.listdir(outside) == []
