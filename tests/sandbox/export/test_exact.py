"""Random trees, changed at random in a real container: the patch gives what stood there."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import OpenBox
from generators.container_changes import Way, run
from generators.file_trees import user_git
from policies.loading import load
from policies.policy import History
from sandbox.engine.docker import Engine

HOW = {
    "programs of the workspace run": Way(exec_workspace=True, dies=False),
    "programs of the workspace do not run": Way(exec_workspace=False, dies=False),
    "the container is dead before the export": Way(exec_workspace=True, dies=True),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
def test_baseline_and_patch_are_what_stood_in_the_container(
    how: str, engine: Engine, workspace: Path, tmp_path: Path
) -> None:
    seed = 1 + list(HOW).index(how)
    found = run(engine, workspace, tmp_path, seed=seed, cases=40, way=HOW[how])
    assert found.changes > 80
    assert found.inexact == {}
    for path, mode in found.odd_modes.items():
        assert re.match(f"has mode {mode:o}, which|ignored by", found.left_out[path]), path
    if not HOW[how].dies:
        listed = {path for path, reason in found.left_out.items() if "empty directory" in reason}
        assert listed <= found.empty


def test_what_a_patch_can_not_carry_is_listed(open_box: OpenBox, workspace: Path) -> None:
    (workspace / ".gitignore").write_text("build/\n")
    (workspace / "old").mkdir()
    (workspace / "was").mkdir()
    for name in ("kept", "was/full", "shut"):
        (workspace / name).write_text(f"{name}\n")
    box = open_box()
    box.run(
        "mkdir -p a/b build/c full; echo > full/f; rm was/full; chmod 600 kept; "
        "python3 -c 'import os; os.mkfifo(\"pipe\")'; echo new > s; chmod 4755 s; "
        "chmod 664 shut; touch .gitignore"
    )
    patch = box.export()
    assert {item.path: item.reason for item in patch.left_out} == {
        b"a/b": "is an empty directory, which no patch carries",
        b"was": "is an empty directory, which no patch carries",
        b"pipe": "is a socket, pipe or device",
        b"kept": "has mode 600, which a patch carries as 644",
        b"s": "has mode 4755, which a patch carries as 755",
    }
    assert {change.path for change in patch.changes} == {b"full/f", b"s", b"was/full"}


@pytest.mark.parametrize("history", ["full", "none"])
@pytest.mark.parametrize("kind", ["repository", "plain directory"])
def test_a_patch_of_what_is_ignored_would_fit_no_clean_clone(
    kind: str, history: str, open_box: OpenBox, workspace: Path
) -> None:
    files = (".gitignore", "kept.log", "old.log", "gone.log", "wanted.log", "build/x")
    (workspace / "build").mkdir()
    for name in files:
        (workspace / name).write_text("*.log\nbuild/\n")
    if kind == "repository":
        user_git(workspace, "init", "-q")
        user_git(workspace, "add", "-f", ".gitignore", "kept.log")
    rules = load("default")
    box = open_box(
        policy=replace(
            rules,
            workspace=replace(rules.workspace, history=History(history)),
            export=replace(rules.export, include=("wanted.log",)),
        )
    )
    box.run("for f in kept.log old.log wanted.log build/x; do echo 2 >> $f; done; rm gone.log")
    patch = box.export()
    kept = {b"kept.log"} if kind == "repository" else set()
    assert {change.path for change in patch.changes} == {b"wanted.log", *kept}
    assert {item.path: item.reason for item in patch.left_out} == {
        path.encode(): "ignored by .gitignore:2: build/"
        if "/" in path
        else "ignored by .gitignore:1: *.log"
        for path in files[1:]
        if path.encode() not in {b"wanted.log", *kept}
    }


@pytest.mark.parametrize("taken", ["first", "second"])
def test_the_gate_learns_of_every_link_that_stood_there(
    taken: str, open_box: OpenBox, workspace: Path
) -> None:
    (workspace / "tools").mkdir()
    (workspace / "tools/run").write_text("1\n")
    (workspace / "ci").symlink_to("tools")
    (workspace / "odd\nname").symlink_to("/nowhere/\udcff")
    if taken == "second":
        open_box().close()  # the copy is found again, and what is known of it read from the cache
    box = open_box()
    box.run("echo 2 > ci/run; rm odd*")
    patch = box.export()
    assert patch.old_links == {b"ci": b"tools", b"odd\nname": b"/nowhere/\xff"}
    assert {change.path for change in patch.changes} == {b"tools/run", b"odd\nname"}


def test_files_in_directories_that_were_shut_are_in_the_patch(
    open_box: OpenBox, workspace: Path
) -> None:
    for name in ("a", "b/c"):
        (workspace / name).mkdir(parents=True)
        (workspace / name / "f").write_text("1\n")
    box = open_box()
    box.run("for f in a/f b/c/f; do echo 2 > $f; done; chmod 644 a b/c; chmod 0 b")
    assert {change.path for change in box.export().changes} == {b"a/f", b"b/c/f"}


def test_hard_links_are_files_in_the_patch_of_a_container_that_died(
    open_box: OpenBox, workspace: Path, engine: Engine
) -> None:
    (workspace / "a").write_text("a\n")
    box = open_box()
    box.run("ln a b; ln a z; mkdir -p r/.git; echo hidden > r/.git/x; ln r/.git/x r/y; ln r/y y")
    engine.kill(box.id)
    patch = box.export()
    assert {change.path for change in patch.changes} == {b"b", b"z", b"r/y", b"y"}
    assert patch.data.count(b"+hidden") == 2
