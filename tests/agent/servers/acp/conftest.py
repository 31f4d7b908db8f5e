"""What the tests of the server share: an editor at a desk, with a home of its own."""

from pathlib import Path

import pytest

from command_line.running import moonpool, zygote
from editors.desk import Desk

__all__ = ["moonpool", "zygote"]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("MOONPOOL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("MOONPOOL_CONFIG", raising=False)
    return Desk(tmp_path)
