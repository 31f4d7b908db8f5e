"""After a run, what Moonpool caches is brought within its budget: seldom, and by nobody's harm."""

import os
import tempfile
import time
from pathlib import Path

import pytest

from agent.cli import tidying


@pytest.fixture
def stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f".moonpool-{os.getuid()}.tidied"


def test_it_is_due_once_in_a_while(stamp: Path) -> None:
    assert tidying._is_due()
    assert not tidying._is_due()
    then = time.time() - 3600
    os.utime(stamp, (then, then))
    assert tidying._is_due()


def test_what_another_planted_is_not_followed(stamp: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    stamp.symlink_to(victim)
    tidying.begin({})
    assert victim.read_bytes() == b""
    stamp.unlink()
    os.mkfifo(stamp)
    assert not tidying._is_due()
