"""Submodules, whose repositories lie in that of the workspace: git works in them in the copy."""

from pathlib import Path

import pytest

from conftest import OpenBox
from fakes.git import git
from policies.loading import load
from sandbox.patch.values import LeftOutKind
from sandbox.workspace.scan import scan
from sandbox.workspace.selection import select

RULES = load("default").workspace


@pytest.fixture
def superproject(tmp_path: Path, workspace: Path) -> Path:
    for directory in (tmp_path / "inner", tmp_path / "module", workspace):
        directory.mkdir(exist_ok=True)
        git(directory, "init", "-qb", "main")
        (directory / "a.txt").write_text("1\n")
        git(directory, "add", ".")
        git(directory, "commit", "-qm", f"of {directory.name}")
    git(tmp_path / "module", "submodule", "add", "-q", str(tmp_path / "inner"), "in")
    git(tmp_path / "module", "commit", "-qm", "with inner")
    git(workspace, "submodule", "add", "-q", str(tmp_path / "module"), "libs/sub")
    git(workspace, "submodule", "update", "-q", "--init", "--recursive")
    git(workspace, "commit", "-qm", "with module")
    return workspace


def test_git_works_in_a_submodule_and_in_one_of_its_own(
    superproject: Path, open_box: OpenBox
) -> None:
    (superproject / "libs/sub/a.txt").write_text("2\n")
    box = open_box()
    text = "git status --short; cd libs/sub; git log --format=%s; cd in; git log --format=%s"
    assert box.run(text).stdout.decode() == (" m libs/sub\nwith inner\nof module\nof inner\n")
    done = box.run("cd /workspace/libs/sub/in && echo 3 > a.txt && git commit -qam two")
    assert done.exit_code == 0, done.stderr
    patch = box.export()
    assert [change.path for change in patch.changes] == [b"libs/sub/in/a.txt"]
    assert not patch.left_out


def test_its_pointer_is_exported_by_no_way(superproject: Path, open_box: OpenBox) -> None:
    box = open_box()
    box.run("cd libs/sub && rm .git && echo x > new.txt")
    assert [change.path for change in box.export().changes] == [b"libs/sub/new.txt"]


@pytest.mark.parametrize(
    "said",
    [
        "gitdir: ../../.git/modules/../..",
        "gitdir: /etc",
        "gitdir: ../../.git",
        "gitdir: ../../.git/modules/nothing",
        "gitdir: ../../.git/modules/link",
        "nothing",
        "gitdir: ../../.git/modules/\0",
    ],
)
def test_a_pointer_to_elsewhere_stays_out(superproject: Path, said: str) -> None:
    (superproject / ".git/modules/link").symlink_to("libs/sub")
    (superproject / "libs/sub/.git").write_text(said)
    chosen = select(scan(superproject), RULES)
    assert b"libs/sub/.git" not in {item.path for item in chosen.copied}
    [note] = [item for item in chosen.left_out if item.path == b"libs/sub/.git"]
    assert note.kind is LeftOutKind.UNUSABLE
