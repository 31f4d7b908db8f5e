"""The command line as a person uses it: the installed console script, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SCRIPT = Path(sys.executable).with_name("moonpool")


@dataclass
class Shell:
    """Runs `moonpool` in a directory with an environment that holds nothing of the tester's."""

    directory: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __call__(
        self, *arguments: str, env: Mapping[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SCRIPT), *arguments],
            cwd=self.directory,
            env={**self.environ, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def moonpool(tmp_path: Path) -> Shell:
    for name in ("home", "work", "state"):
        (tmp_path / name).mkdir()
    environ = {
        "HOME": str(tmp_path / "home"),
        "MOONPOOL_HOME": str(tmp_path / "state"),
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "COLUMNS": "100",
    }
    return Shell(directory=tmp_path / "work", environ=environ)


@pytest.fixture
def script(tmp_path: Path) -> str:
    """A model that says it is done at once."""
    path = tmp_path / "script.yaml"
    path.write_text("version: 1\nturns:\n  - text: Nothing to do.\n")
    return f"script:{path}"
