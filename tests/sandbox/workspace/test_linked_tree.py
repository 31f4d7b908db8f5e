"""Linked work trees: git in the copy, a branch afterwards, and what only claims to be one."""

import os
import subprocess
from pathlib import Path

import pytest

from conftest import OpenBox
from policies.loading import load
from sandbox.apply.branch import branch_patch
from sandbox.git import linked_tree
from sandbox.workspace.scan import scan
from sandbox.workspace.selection import select

RULES = load("default").workspace


def git(directory: Path, *words: str) -> str:
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"} | {
        f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        ["git", *words], cwd=directory, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    directory = tmp_path / "repository"
    directory.mkdir()
    git(directory, "init", "-qb", "main")
    (directory / "a.txt").write_text("1\n")
    git(directory, "add", ".")
    git(directory, "commit", "-qm", "start")
    return directory


@pytest.fixture
def tree(repository: Path, workspace: Path) -> Path:
    git(repository, "worktree", "add", "-q", "-b", "feature", str(workspace))
    return workspace


def copied(root: Path) -> set[str]:
    return {item.path.decode() for item in select(scan(root), RULES).copied}


def test_git_works_in_the_copy_and_a_branch_can_be_made(tree: Path, open_box: OpenBox) -> None:
    (tree / "a.txt").write_text("2\n")
    box = open_box()
    assert box.run("git status --short --branch; git log --format=%s").stdout == (
        b"## feature\n M a.txt\nstart\n"
    )
    assert box.run("git commit -qam two && git checkout -q main && git branch").exit_code == 0
    box.run("git checkout -q feature; echo 3 > b.txt")
    made = branch_patch(box.export().data, tree, branch="fix", message="m", check=False)
    assert git(tree, "rev-parse", "fix") == made.commit
    assert git(tree, "show", "fix:b.txt") == "3"
    assert git(tree, "branch", "--show-current") == "feature"


def test_a_tree_of_a_bare_repository_is_a_whole_one_in_the_copy(
    repository: Path, workspace: Path, open_box: OpenBox
) -> None:
    bare = repository.parent / "bare.git"
    git(repository, "clone", "-q", "--bare", str(repository), str(bare))
    git(bare, "worktree", "add", "-q", "-b", "feature", str(workspace))
    assert open_box().run("git status --short --branch").stdout == b"## feature\n"


def test_of_the_other_trees_nothing_comes_along(repository: Path, tree: Path) -> None:
    git(repository, "worktree", "add", "-q", "-b", "other", str(repository.parent / "other"))
    assert not [path for path in copied(tree) if "worktrees" in path or "hooks" in path]


def test_without_history_what_is_tracked_is_known_all_the_same(tree: Path) -> None:
    (tree / "a.key").write_text("x")
    git(tree, "add", "-f", "a.key")
    assert "a.key" in copied(tree)


def test_a_moved_or_copied_tree_is_none(tree: Path, tmp_path: Path) -> None:
    assert linked_tree.find(tree) is not None
    elsewhere = tmp_path / "elsewhere"
    subprocess.run(["cp", "-a", str(tree), str(elsewhere)], check=True)
    assert linked_tree.find(elsewhere) is None


@pytest.mark.parametrize(
    "content", ["", "gitdir:", "gitdir: \0", "gitdir: /", "gitdir: .", "x" * 9000]
)
def test_a_pointer_that_says_nothing_is_none(workspace: Path, content: str) -> None:
    (workspace / ".git").write_text(content)
    assert linked_tree.find(workspace) is None
    assert [os.fsdecode(item.path) for item in select(scan(workspace), RULES).left_out] == [".git"]
