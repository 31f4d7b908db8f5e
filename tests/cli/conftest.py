"""The command line as a person uses it: the installed console script, in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import agent
from sandbox.engine import Engine
from sandbox.labels import LABEL_RUN

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
        # The code that is tested here, whatever else is installed.
        "PYTHONPATH": str(Path(agent.__file__).parents[1]),
    }
    return Shell(directory=tmp_path / "work", environ=environ)


@pytest.fixture
def script(tmp_path: Path) -> str:
    """A model that says it is done at once."""
    path = tmp_path / "script.yaml"
    path.write_text("version: 1\nturns:\n  - text: Nothing to do.\n")
    return f"script:{path}"


# -- runs that are watched, and ended, from outside -------------------------------------------

SLEEP = "echo ran >> count; sleep 60"


@dataclass
class Going:
    """A run in a process of its own, read line by line."""

    moonpool: Shell
    process: subprocess.Popen[str]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def until(self, event: str, text: str = "") -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.rows.append(json.loads(line))
            if self.rows[-1]["event"] == event and text in line:
                return self.rows[-1]
        raise AssertionError(f"no {event}: {self.rows[-1:]} {self.process.communicate()}")

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> tuple[int, dict[str, Any], str]:
        """(exit code, summary, standard error)."""
        out, err = self.process.communicate(timeout=100)
        self.rows += [json.loads(line) for line in out.splitlines()]
        return self.process.returncode, self.rows[-1], err

    @property
    def container(self) -> str:
        return str(next(row["container"] for row in self.rows if row["event"] == "sandbox_ready"))

    @property
    def directory(self) -> Path:
        (found,) = (Path(self.moonpool.environ["MOONPOOL_HOME"]) / "runs").iterdir()
        return found

    def resume(self, *more: str) -> tuple[int, dict[str, Any], str]:
        done = self.moonpool("resume", "last", "--json", *more)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return done.returncode, lines[-1] if lines else {}, done.stderr


Start = Callable[..., Going]


@pytest.fixture
def start(moonpool: Shell, tmp_path: Path, engine: Engine, image: str) -> Iterator[Start]:
    """Starts a run of a script's turns; at the end nothing of it stands any more."""
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    moonpool.environ["XDG_CACHE_HOME"] = cache
    started: list[Going] = []

    def starter(
        *turns: dict[str, Any], model: str = "", env: dict[str, str] | None = None, policy: str = ""
    ) -> Going:
        script = tmp_path / "script.yaml"
        script.write_text(json.dumps({"version": 1, "turns": turns}))
        (tmp_path / "policy.yaml").write_text(f"version: 1\nname: t\nextends: default\n{policy}\n")
        process = subprocess.Popen(
            [
                *(SCRIPT, "run", "x", "--json", "-p", str(tmp_path / "policy.yaml")),
                *("-m", model or f"script:{script}"),
            ],
            cwd=moonpool.directory,
            env={**moonpool.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(Going(moonpool=moonpool, process=process))
        return started[-1]

    yield starter
    for going in started:
        going.process.kill()
        going.process.communicate()
        for run in (Path(moonpool.environ["MOONPOOL_HOME"]) / "runs").iterdir():
            for row in engine.containers(f"{LABEL_RUN}={run.name}"):
                engine.remove(row.id)


def bash(command: str, **more: Any) -> dict[str, Any]:
    return {"calls": [{"tool": "bash", "arguments": {"command": command, **more}}]}


def patch(summary: dict[str, Any]) -> bytes:
    return Path(summary["patch"]).read_bytes()


def stands(engine: Engine, container: str) -> bool:
    return any(row.id == container for row in engine.containers(LABEL_RUN))


DONE = {"text": "Done."}
