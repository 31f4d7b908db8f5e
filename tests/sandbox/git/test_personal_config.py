"""The person's own settings that decide whether a tree is clean."""

import subprocess
from pathlib import Path

import pytest

from conftest import OpenBox
from sandbox.git.personal_config import settings


def said(tmp_path: Path, text: str) -> bytes:
    (tmp_path / ".gitconfig").write_text(text)
    return settings({"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"})


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
