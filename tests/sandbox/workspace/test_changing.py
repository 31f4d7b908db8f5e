"""A workspace that something writes to while it is copied."""

import os
from pathlib import Path

import pytest

from policies.loading import load
from sandbox.errors import WorkspaceChanged
from sandbox.workspace.pack import Packer
from sandbox.workspace.scan import scan
from sandbox.workspace.selection import select

RULES = load("default").workspace


def packed(packer: Packer) -> bytes:
    return b"".join(packer.stream())


@pytest.fixture
def log(workspace: Path) -> Path:
    """A file that grew after the workspace was looked at."""
    file = workspace / "app.log"
    file.write_text("one\n")
    return file


def test_a_file_that_changed_since_the_look_is_named(log: Path) -> None:
    selection = select(scan(log.parent), RULES)
    log.write_text("one\ntwo\n")
    with pytest.raises(WorkspaceChanged, match=r"app\.log"):
        packed(Packer(log.parent, selection, ""))


def test_of_a_file_known_to_be_written_to_one_moment_is_taken(log: Path) -> None:
    selection = select(scan(log.parent), RULES)
    log.write_text("one\ntwo\n")
    packer = Packer(log.parent, selection, "", restless={b"app.log"})
    size = packer.size()
    log.write_text("one\ntwo\nthree\n")
    tar = packed(packer)
    assert len(tar) == size
    assert b"one\ntwo\n" in tar
    assert b"three" not in tar
    assert packer.manifest().entries[b"app.log"].size == 8


@pytest.mark.parametrize("done", [os.unlink, lambda file: file.write_text("")])
def test_what_is_gone_or_shorter_is_looked_at_again(log: Path, done) -> None:  # type: ignore[no-untyped-def]
    selection = select(scan(log.parent), RULES)
    done(log)
    with pytest.raises(WorkspaceChanged):
        packed(Packer(log.parent, selection, "", restless={b"app.log"}))
