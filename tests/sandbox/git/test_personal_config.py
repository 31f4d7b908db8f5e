"""The person's own settings that decide whether a tree is clean."""

import io
import os
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import OpenBox
from policies.loading import load
from policies.policy import History
from sandbox.git.config import PersonalConfig, read_personal
from sandbox.git.ignore import IgnoreRules
from sandbox.git.manifest import PERSONAL_EXCLUDE
from sandbox.workspace.pack import Packer
from sandbox.workspace.scan import scan
from sandbox.workspace.selection import select


def said(tmp_path: Path, text: str) -> bytes:
    (tmp_path / ".gitconfig").write_text(text)
    return read_personal(
        {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}, tmp_path / "tree"
    ).settings


def test_values_of_a_short_list_and_nothing_else(tmp_path: Path) -> None:
    text = (
        "[user]\n\tname = me\n[core]\n\tautocrlf = input\n\tfsmonitor = ./x\n\tfilemode = false\n"
    )
    assert said(tmp_path, text) == b'[core]\n\tautocrlf = "input"\n\tfilemode = "false"\n'


@pytest.mark.parametrize("text", ["", "[core", "\0", "[core]\n\teditor = x\n"])
def test_where_nothing_is_said_nothing_is(tmp_path: Path, text: str) -> None:
    assert said(tmp_path, text) == b""


def test_the_users_file_wins_over_the_other_ones(tmp_path: Path) -> None:
    (tmp_path / ".config/git").mkdir(parents=True)
    (tmp_path / ".config/git/config").write_text("[core]\n\tautocrlf = true\n\teol = lf\n")
    assert said(tmp_path, "[core]\n\tautocrlf = false\n") == (
        b'[core]\n\tautocrlf = "false"\n\teol = "lf"\n'
    )


def test_a_tree_that_is_clean_on_the_host_is_clean_inside(
    workspace: Path, tmp_path: Path, open_box: OpenBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".gitconfig").write_text("[core]\n\tautocrlf = true\n")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    (workspace / "a.txt").write_bytes(b"1\r\n2\r\n")
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=workspace, env=environment, check=True)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / ".gitconfig"))
    assert open_box().run("touch a.txt; git status --short").stdout == b"A  a.txt\n"


def test_what_is_included_counts_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "more").write_text(
        "[core]\n\tautocrlf = true\n\teol = crlf\n[include]\n\tpath = deep\n"
    )
    (tmp_path / "deep").write_text("[core]\n\tsafecrlf = warn\n")
    text = "[include]\n\tpath = more\n[core]\n\tautocrlf = false\n[include]\n\tpath = ~/gone\n"
    assert said(tmp_path, text) == (
        b'[core]\n\tautocrlf = "false"\n\teol = "crlf"\n\tsafecrlf = "warn"\n'
    )


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("gitdir:~/tree/", True),
        ("gitdir:~/tree/.git", True),
        ("gitdir:tree/", True),
        ("gitdir/i:TREE/", True),
        ("gitdir:./tr*/**", True),
        ("gitdir:TREE/", False),
        ("gitdir:~/", True),
        ("gitdir:/elsewhere/", False),
        ("gitdir:**", True),
        ("onbranch:main", False),
        ("hasconfig:remote.*.url:x", False),
    ],
)
def test_a_condition_on_a_place_holds_for_the_workspaces(
    tmp_path: Path, condition: str, *, holds: bool
) -> None:
    tree = tmp_path / "tree"
    subprocess.run(["git", "init", "-qb", "main", str(tree)], check=True)
    (tmp_path / "more").write_text("[core]\n\teol = crlf\n")
    text = f'[includeIf "{condition}"]\n\tpath = ~/more\n'
    assert bool(said(tmp_path, text)) is holds
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    asked = subprocess.run(["git", "config", "core.eol"], cwd=tree, env=environment, check=False)
    assert holds is (asked.returncode == 0) or condition == "onbranch:main"


def test_a_configuration_that_git_cannot_read_is_told(tmp_path: Path) -> None:
    (tmp_path / ".gitconfig").write_text("[core")
    found = read_personal({"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}, tmp_path)
    assert not found.settings
    assert "does not count here" in found.notes[0]


def test_files_of_rules_are_bounded_and_may_be_anything(tmp_path: Path) -> None:
    (tmp_path / ".config/git").mkdir(parents=True)
    (tmp_path / ".config/git/ignore").write_text("#" * (1 << 20) + "\n*.x\n")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / ".gitconfig").write_text("[core]\n\tattributesFile = ~/pipe\n")
    environ = {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1"}
    found = read_personal(environ, tmp_path)
    assert (found.files, found.settings) == ({}, b"")
    assert "larger than" in found.notes[0]


@pytest.mark.parametrize("history", History)
def test_the_persons_own_rules_count_less_than_the_repositorys(
    workspace: Path,
    tmp_path: Path,
    open_box: OpenBox,
    monkeypatch: pytest.MonkeyPatch,
    history: History,
) -> None:
    """`git status` inside says what it says on the host, and the patch follows it."""
    (tmp_path / "ignored").write_text("*.swp\n*.log\n")
    (tmp_path / "said").write_text("*.txt text\n*.bin -text\n")
    (tmp_path / ".gitconfig").write_text(
        "[core]\n\texcludesFile = ~/ignored\n\tattributesFile = ~/said\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    (workspace / ".gitignore").write_text("!keep.log\n")
    (workspace / ".gitattributes").write_text("raw.txt -text\n")
    for name in ("raw.txt", "a.txt"):
        (workspace / name).write_bytes(b"1\r\n")

    def git(*words: str) -> bytes:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(
            command, cwd=workspace, env=environment, check=True, capture_output=True
        ).stdout

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    for name in ("a.swp", "b.log", "keep.log"):
        (workspace / name).write_text("x\n")
    attributes = git("check-attr", "text", "--", "raw.txt", "a.txt", "z.bin")
    status = git("status", "--short")
    assert status == b"?? keep.log\n"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / ".gitconfig"))
    monkeypatch.setenv("HOME", str(tmp_path))
    policy = load("default")
    box = open_box(replace(policy, workspace=replace(policy.workspace, history=history)))
    if history is not History.NONE:
        text = "touch *.txt; git status --short; git check-attr text -- raw.txt a.txt z.bin"
        assert box.run(text).stdout == status + attributes
    box.run("echo y | tee c.swp d.log > new.txt; printf '2\\r\\n' | tee a.txt > raw.txt")
    patch = box.export()
    assert [change.path for change in patch.changes] == [b"a.txt", b"new.txt", b"raw.txt"]
    assert {(item.path, item.reason.partition(":")[0]) for item in patch.left_out} == {
        (name, "ignored by your core.excludesFile") for name in (b"c.swp", b"d.log")
    }
    assert patch.index is not None
    assert b"+2\r\n" in (patch.index.data or b"").partition(b"raw.txt")[2]
    assert b"\r" not in (patch.index.data or b"").partition(b"b/new.txt")[0]


@pytest.mark.parametrize("place", [".git/info", ".git/info/personal-exclude"])
def test_the_persons_rules_go_through_no_link_of_the_workspace(tmp_path: Path, place: str) -> None:
    (tmp_path / ".git/info").mkdir(parents=True)
    (tmp_path / ".git/config").write_text("")
    if place == ".git/info":
        (tmp_path / place).rmdir()
    (tmp_path / place).symlink_to("/etc/cron.d")
    personal = PersonalConfig(settings=b"", files={PERSONAL_EXCLUDE: b"*.swp\n"})
    rules = replace(load("default").workspace, secrets=())
    packer = Packer(tmp_path, select(scan(tmp_path), rules), "", personal=personal)
    data = b"".join(packer.stream())
    assert len(data) == packer.size()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        below = [member for member in archive if "/.git/info" in member.name]
    assert [member.linkname for member in below if not member.isdir()] == ["/etc/cron.d"]
    assert PERSONAL_EXCLUDE not in packer.manifest().rule_files


def test_an_ignore_file_that_is_too_large_is_told(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.x\n" + "#" * (1 << 20))
    rules = replace(load("default").workspace, secrets=())
    packer = Packer(tmp_path, select(scan(tmp_path), rules), "")
    assert sum(map(len, packer.stream())) == packer.size()
    found = IgnoreRules(packer.manifest())
    assert found.ignored(b"a.x") is None
    assert found.notes == (".gitignore is larger than 1048576 bytes: not applied",)
