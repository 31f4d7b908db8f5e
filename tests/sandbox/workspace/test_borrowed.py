"""Clones that borrow objects: git in the copy, and nothing of the lender but what they reach."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import OpenBox
from policies.loading import load
from policies.policy import History, WorkspaceRules
from sandbox.apply.branch import branch_patch
from sandbox.errors import PatchError, WorkspaceError
from sandbox.git import alternates
from sandbox.git.alternates import NotLent
from sandbox.patch.values import LeftOutKind
from sandbox.workspace.borrowed import Borrowed, borrow
from sandbox.workspace.scan import scan
from sandbox.workspace.selection import select

POLICY = load("default")
ALTERNATES = ".git/objects/info/alternates"


def git(directory: Path, *words: str) -> str:
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"} | {
        f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        ["git", *words], cwd=directory, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(directory: Path, name: str, text: str) -> str:
    (directory / name).write_text(text)
    git(directory, "add", "-f", name)
    git(directory, "commit", "-qm", name)
    return git(directory, "rev-parse", "HEAD")


@pytest.fixture
def lender(tmp_path: Path) -> Path:
    directory = tmp_path / "lender"
    directory.mkdir()
    git(directory, "init", "-qb", "main")
    commit(directory, "a.txt", "1\n")
    git(directory, "tag", "-am", "one", "v1")
    commit(directory, "b.txt", "2\n")
    return directory


@pytest.fixture
def clone(lender: Path, workspace: Path) -> Path:
    git(lender.parent, "clone", "-q", "--shared", str(lender), str(workspace))
    return workspace


def brought(root: Path, into: Path, rules: WorkspaceRules = POLICY.workspace) -> Borrowed:
    into.mkdir(exist_ok=True)
    return borrow(root, select(scan(root), rules), rules, into)


def objects(borrowed: Borrowed) -> set[str]:
    """What is in the packs that would go in."""
    found = set()
    for file in borrowed.files.values():
        if file.suffix == ".idx":
            with file.open("rb") as opened:
                rows = subprocess.run(
                    ["git", "show-index"], stdin=opened, check=True, capture_output=True, text=True
                )
            found |= {row.split()[1] for row in rows.stdout.splitlines()}
    return found


def refusal(borrowed: Borrowed) -> str:
    assert not borrowed.files
    [note] = borrowed.notes
    assert note.kind is LeftOutKind.UNUSABLE
    return note.reason


@pytest.mark.parametrize("words", [["--shared", "{}"], ["--reference", "{}", "file://{}"]])
def test_git_works_in_the_copy_of_a_borrowing_clone(
    lender: Path, workspace: Path, open_box: OpenBox, words: list[str]
) -> None:
    git(lender.parent, "clone", "-q", *(w.format(lender) for w in words), str(workspace))
    (workspace / "a.txt").write_text("changed\n")
    box = open_box()
    assert box.run("git status --short; git log --format=%s; git fsck; git tag").stdout == (
        b" M a.txt\nb.txt\na.txt\nv1\n"
    )
    assert box.run("git commit -qam three && git show -s --format=%s HEAD~1").stdout == b"b.txt\n"
    assert not box.run(f"ls {ALTERNATES}").stdout
    [note] = [item for item in box.left_behind if item.kind is LeftOutKind.BORROWED]
    assert f"{lender}/.git/objects: 7 objects" in note.reason


def test_work_of_ones_own_and_what_it_stands_on_are_both_there(
    clone: Path, open_box: OpenBox
) -> None:
    commit(clone, "own.txt", "own\n")
    (clone / "stashed.txt").write_text("x\n")
    git(clone, "add", ".")
    git(clone, "stash", "-q")
    box = open_box()
    assert box.run("git log --format=%s -3; git fsck; git stash pop -q; ls").stdout == (
        b"own.txt\nb.txt\na.txt\na.txt\nb.txt\nown.txt\nstashed.txt\n"
    )


def test_a_branch_can_be_made_in_a_borrowing_clone(
    clone: Path, lender: Path, open_box: OpenBox
) -> None:
    git(lender, "gc", "-q")
    box = open_box()
    box.run("mkdir d; echo 3 > d/c.txt; echo 4 >> a.txt")
    made = branch_patch(box.export().data, clone, branch="fix", message="m", check=False)
    assert git(clone, "rev-parse", "fix") == made.commit
    assert git(clone, "show", "fix:a.txt") == "1\n4"
    assert not git(clone, "fsck", "--strict")
    assert git(lender, "branch") == "* main"
    (clone / ALTERNATES).write_text("../../../lender/.git/objects\n")
    with pytest.raises(PatchError, match="borrows from and that may be read"):
        branch_patch(box.export().data, clone, branch="fix2", message="m", check=False)


def test_with_history_head_the_newest_commit_is_there_alone(clone: Path, open_box: OpenBox) -> None:
    rules = replace(POLICY.workspace, history=History.HEAD)
    box = open_box(replace(POLICY, workspace=rules))
    assert box.run("git status --short; git log --format=%s; git fsck").stdout == b"b.txt\n"


def test_a_lender_that_borrows_itself(clone: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    git(tmp_path, "clone", "-q", "--shared", str(clone), str(second))
    assert git(clone, "rev-parse", "v1") in objects(brought(second, tmp_path / "out"))


def test_a_cut_clone_brings_no_more_than_it_has(lender: Path, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    words = [
        "clone",
        "-q",
        "--no-tags",
        "--depth",
        "1",
        "--reference",
        str(lender),
        f"file://{lender}",
    ]
    git(tmp_path, *words, str(shallow))
    packed = objects(brought(shallow, tmp_path / "out"))
    assert git(lender, "rev-parse", "HEAD") in packed
    assert git(lender, "rev-parse", "HEAD~1") not in packed


def test_one_clone_gives_one_pack(clone: Path, tmp_path: Path) -> None:
    """Or the copy of the last time would not be found again."""
    first, again = (brought(clone, tmp_path / name) for name in "ab")
    read = [
        {path: file.read_bytes() for path, file in made.files.items()} for made in (first, again)
    ]
    assert read[0] == read[1]
    assert len(read[0]) == 2


def test_of_the_lender_nothing_else_goes_in(clone: Path, lender: Path, tmp_path: Path) -> None:
    """Not what was committed there later, on another branch, or was never committed."""
    git(lender, "checkout", "-qb", "private")
    secret = commit(lender, "secret.txt", "secret\n")
    blob = git(lender, "rev-parse", "HEAD:secret.txt")
    packed = objects(brought(clone, tmp_path / "out"))
    assert git(clone, "rev-parse", "HEAD") in packed
    assert not packed & {secret, blob}


@pytest.mark.parametrize("place", ["refs/heads/x", "packed-refs", "FETCH_HEAD", "a.txt"])
def test_an_id_counts_only_as_a_reference(
    clone: Path, lender: Path, tmp_path: Path, place: str
) -> None:
    """Who knows the id of a commit and the path of its repository is told of in SECURITY.md."""
    secret = commit(lender, "secret.txt", "secret\n")
    said = f"{secret} refs/heads/x\n" if place == "packed-refs" else f"{secret}\n"
    (clone / (place if place == "a.txt" else f".git/{place}")).write_text(said)
    packed = objects(brought(clone, tmp_path / "out"))
    assert (secret in packed) == (place in {"refs/heads/x", "packed-refs"})


def test_a_policy_refuses(clone: Path, tmp_path: Path) -> None:
    rules = replace(POLICY.workspace, borrow=False)
    assert "workspace.borrow is false" in refusal(brought(clone, tmp_path / "out", rules))


def test_what_is_borrowed_counts_as_the_workspace_does(clone: Path, tmp_path: Path) -> None:
    rules = replace(POLICY.workspace, max_bytes=select(scan(clone), POLICY.workspace).total_bytes)
    with pytest.raises(WorkspaceError, match=r"workspace\.borrow"):
        brought(clone, tmp_path / "out", rules)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../../../lender/.git/objects", "not an absolute path"),
        ("{lender}/.git", "not a repository's object directory"),
        ("{lender}/nothing/objects", "can't be read"),
        ("{lender}/.git/../../odd/objects", "not a repository's object directory"),
        ("{lender}/.git/ob\0jects", "can't be read"),
        ("{clone}/.git/objects", "in the workspace itself"),
        ("/proc/self/root/etc", "not a repository's object directory"),
        ("# only a remark", "names no object directory"),
    ],
)
def test_a_lender_that_is_none(
    clone: Path, lender: Path, tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "odd/objects").mkdir(parents=True)
    (clone / ALTERNATES).write_text(name.format(lender=lender, clone=clone) + "\n")
    assert why in refusal(brought(clone, tmp_path / "out"))


@pytest.mark.parametrize("place", ["objects/pack", "objects/aa/x"])
def test_no_link_leads_to_another_store_than_is_shown(
    clone: Path, lender: Path, tmp_path: Path, place: str
) -> None:
    """A lender of the adversary's, brought along, whose packs are a link to somebody's."""
    trap = tmp_path / "trap"
    (trap / "objects/aa").mkdir(parents=True)
    (trap / "HEAD").write_text("ref: refs/heads/main\n")
    (trap / place).symlink_to(lender / ".git/objects")
    (clone / ALTERNATES).write_text(f"{trap}/objects\n")
    assert "not a repository's object directory" in refusal(brought(clone, tmp_path / "out"))


def test_a_lender_of_another_user_lends_nothing(clone: Path, lender: Path) -> None:
    text = (clone / ALTERNATES).read_bytes()
    store = str(lender / ".git/objects")
    assert alternates.stores(text, root=str(clone), owner=os.getuid()) == (store,)
    with pytest.raises(NotLent, match="another user's"):
        alternates.stores(text, root=str(clone), owner=os.getuid() + 1)


def test_a_pack_goes_through_no_link_of_the_workspace(clone: Path, tmp_path: Path) -> None:
    (clone / ".git/objects/pack").rmdir()
    (clone / ".git/objects/pack").symlink_to("/etc")
    assert "behind a link" in refusal(brought(clone, tmp_path / "out"))


def test_the_workspaces_own_objects_and_configuration_are_not_read(
    clone: Path, tmp_path: Path
) -> None:
    (clone / ".git/objects/pack/pack-1.idx").write_bytes(b"\xfftOc" + b"\xff" * 2000)
    (clone / ".git/objects/pack/pack-1.pack").write_bytes(b"PACK" + b"\xff" * 2000)
    (clone / ".git/config").write_text("[core]\n\tfsmonitor = touch /tmp/x\n[include\n")
    assert objects(brought(clone, tmp_path / "out"))
