"""Tasks files are real ones, in a folder of their own that errors name by its path."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.batch.tasks.reading import TaskList, read_tasks
from agent.errors import UsageError
from command_line.running import moonpool, zygote

__all__ = ["moonpool", "zygote"]

Write = Callable[[str, str], Path]
Refused = Callable[[str, str], list[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a tasks file stands, with two repositories beside it."""
    for name in ("repos/one", "repos/two"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def tasks_of(folder: Path) -> Callable[[str, str], TaskList]:
    """The tasks of a file with that name and content."""

    def read(name: str, content: str) -> TaskList:
        file = folder / name
        file.write_text(content, "utf-8")
        return read_tasks(file)

    return read


@pytest.fixture
def refused(folder: Path) -> Refused:
    """Every line of the error that a file with that name and content gives, its folder left out."""

    def read(name: str, content: str) -> list[str]:
        file = folder / name
        file.write_text(content, "utf-8", "surrogatepass")
        with pytest.raises(UsageError) as caught:
            read_tasks(file)
        return str(caught.value).replace(f"{folder}/", "").split("\n")

    return read
