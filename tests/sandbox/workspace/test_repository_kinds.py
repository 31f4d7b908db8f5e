"""Repositories that lack something on purpose: git works in their copy, whole or cut."""

from dataclasses import replace
from pathlib import Path

import pytest

from conftest import OpenBox
from fakes.git import git
from policies.loading import load
from policies.policy import History, Policy
from sandbox.patch.values import LeftOutKind

BOTH = pytest.mark.parametrize("history", [History.FULL, History.HEAD])
WORK = (
    "set -e; cd {tree}; git status --short; git log --format=%s | head -1; git diff --stat; "
    "echo 2 > new.txt; git add new.txt; "
    "git -c user.name=a -c user.email=a@b commit -qm more; git show --stat --format=%s HEAD; "
    "git status --short"
)
WORKED = "{}\nmore\n\n new.txt | 1 +\n 1 file changed, 1 insertion(+)\n"


def policy(history: History) -> Policy:
    default = load("default")
    return replace(default, workspace=replace(default.workspace, history=history))


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    directory = tmp_path / "origin"
    (directory / "far/away").mkdir(parents=True)
    git(directory, "init", "-qb", "main")
    for name in ("allowFilter", "allowAnySHA1InWant"):
        git(directory, "config", f"uploadpack.{name}", "true")
    for number in range(3):
        (directory / "a.txt").write_text(f"{number}\n")
        (directory / "far/away/b.txt").write_text(f"{number}\n")
        git(directory, "add", ".")
        git(directory, "commit", "-qm", f"number {number}")
    return directory


@BOTH
@pytest.mark.parametrize("words", [["--depth=1"], ["--filter=blob:none"], ["--filter=tree:0"]])
def test_a_clone_that_is_not_whole(
    words: list[str], history: History, origin: Path, workspace: Path, open_box: OpenBox
) -> None:
    git(origin, "clone", "-q", *words, f"file://{origin}", str(workspace))
    box = open_box(policy(history))
    done = box.run(WORK.format(tree="."))
    assert done.stdout.decode() == WORKED.format("number 2"), done
    assert [change.path for change in box.export().changes] == [b"new.txt"]


def test_what_a_partial_clone_lacks_is_said_and_waits_for_no_network(
    origin: Path, workspace: Path, open_box: OpenBox
) -> None:
    git(origin, "clone", "-q", "--filter=blob:none", f"file://{origin}", str(workspace))
    git(workspace, "remote", "set-url", "origin", "https://user:token@example.invalid/x.git")
    box = open_box(policy(History.FULL))
    done = box.run("git log -p --format=%s", timeout_s=60)
    assert done.exit_code != 0
    [note] = [item for item in box.left_behind if b".git" in item.path]
    assert note.kind is LeftOutKind.UNUSABLE
    assert "partial clone" in note.reason


@BOTH
@pytest.mark.parametrize("words", [["--cone"], ["--no-cone"], ["--cone", "--sparse-index"]])
def test_a_sparse_checkout(
    words: list[str], history: History, origin: Path, workspace: Path, open_box: OpenBox
) -> None:
    git(origin, "clone", "-q", str(origin), str(workspace))
    git(workspace, "sparse-checkout", "init", *words)
    git(workspace, "sparse-checkout", "set", *(["near"] if "--cone" in words else ["/*", "!/far"]))
    assert not (workspace / "far").exists()
    box = open_box(policy(history))
    assert box.run(WORK.format(tree=".")).stdout.decode() == WORKED.format("number 2")
    assert [change.path for change in box.export().changes] == [b"new.txt"]
    assert box.run("git sparse-checkout list").stdout.decode().strip() in {"near", "/*\n!/far"}


@BOTH
def test_files_that_stand_for_large_ones(
    history: History, workspace: Path, open_box: OpenBox
) -> None:
    git(workspace, "init", "-qb", "main")
    (workspace / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"
    (workspace / "model.bin").write_text(pointer)
    git(workspace, "add", ".")
    git(workspace, "commit", "-qm", "with a pointer")
    git(workspace, "config", "filter.lfs.required", "true")
    git(workspace, "config", "filter.lfs.smudge", "git-lfs smudge -- %f")
    box = open_box(policy(history))
    assert box.run(WORK.format(tree=".")).stdout.decode() == WORKED.format("with a pointer")
    box.write_file("model.bin", b"other")
    assert [change.path for change in box.export().changes] == [b"model.bin", b"new.txt"]


def test_a_linked_work_tree_is_cut(origin: Path, workspace: Path, open_box: OpenBox) -> None:
    git(origin, "worktree", "add", "-q", "-b", "feature", str(workspace), "HEAD~1")
    box = open_box(policy(History.HEAD))
    assert box.run(WORK.format(tree=".")).stdout.decode() == WORKED.format("number 1")
    assert box.run(f"git cat-file -e {git(origin, 'rev-parse', 'main')}").exit_code != 0
    assert box.run("git branch --format='%(refname)'").stdout == b"refs/heads/feature\n"


@BOTH
def test_a_submodule(history: History, origin: Path, workspace: Path, open_box: OpenBox) -> None:
    git(workspace, "init", "-qb", "main")
    git(workspace, "submodule", "add", "-q", str(origin), "libs/sub")
    git(workspace, "commit", "-qm", "with a module")
    git(workspace / "libs/sub", "checkout", "-q", "HEAD~1")
    git(workspace, "add", "libs/sub")
    git(workspace, "commit", "-qm", "an older one")
    box = open_box(policy(history))
    assert box.run(WORK.format(tree="libs/sub")).stdout.decode() == WORKED.format("number 1")
    newest = box.run(f"git cat-file -e {git(origin, 'rev-parse', 'main')}").exit_code
    assert (newest == 0) is (history is History.FULL)
    assert box.run("cd /workspace && git status --short && git log --format=%s -1").stdout == (
        b" M libs/sub\nan older one\n"
    )
