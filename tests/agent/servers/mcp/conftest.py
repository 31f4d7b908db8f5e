"""A workspace, a place for records, and clients of a server without an engine."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from command_line.running import moonpool, zygote
from fakes.mcp_client import ServedClient, served, settings_for

__all__ = ["moonpool", "zygote"]

Connect = Callable[..., ServedClient]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What clients may open: a folder with one workspace in it."""
    folder = tmp_path / "work"
    (folder / "repo").mkdir(parents=True)
    (folder / "repo" / "a.txt").write_text("one\n")
    return folder.resolve()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def connect(root: Path, home: Path) -> Iterator[Connect]:
    """Starts a server, with settings in place of the usual ones, and gives its client."""
    with ExitStack() as stack:

        def started(*, asks: bool = False, **values: Any) -> ServedClient:
            return stack.enter_context(served(settings_for(root, home, **values), asks=asks))

        yield started


@pytest.fixture
def summaries(home: Path) -> Callable[[], list[dict[str, Any]]]:
    """What is recorded of the runs, the oldest first."""
    return lambda: [
        json.loads(path.read_text()) for path in sorted((home / "runs").glob("*/run.json"))
    ]
