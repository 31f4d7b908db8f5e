"""The command line as a person uses it: the installed console script, in a process of its own."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import agent
from command_line.zygote import Zygote, serves
from fakes.model import saying
from fakes.records import check_recorded
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_RUN
from waiting import WAIT_S, until

if TYPE_CHECKING:
    from command_line.chatting import Chatting

SCRIPT = Path(sys.executable).with_name("moonpool")


@dataclass
class Shell:
    """Runs `moonpool` in a directory with an environment that holds nothing of the tester's."""

    directory: Path
    zygote: Zygote
    environ: dict[str, str] = field(default_factory=dict)

    def __call__(
        self, *arguments: str, env: Mapping[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        if serves(env or {}):
            return self.zygote.run(
                [str(SCRIPT), *arguments],
                cwd=self.directory,
                env={**self.environ, **(env or {})},
                stdin=stdin,
                timeout_s=WAIT_S,
            )
        return subprocess.run(
            [str(SCRIPT), *arguments],
            cwd=self.directory,
            env={**self.environ, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )


CACHE_HOME = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
"""One cache for the whole suite. An image is prepared once, and `moonpool prune` sees what is used.
What stands in no cache that it knows it takes for unused, also what others are about to start."""

_ENVIRON = {
    "PATH": os.environ["PATH"],
    "XDG_CACHE_HOME": CACHE_HOME,
    "LANG": "C.UTF-8",
    "COLUMNS": "100",
    # The code that is tested here, whatever else is installed.
    "PYTHONPATH": str(Path(agent.__file__).parents[1]),
}


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    made = Zygote(_ENVIRON)
    yield made
    made.close()


def shell_in(directory: Path, zygote: Zygote) -> Shell:
    """One with a home, a workspace and a state directory of its own below that one."""
    for name in ("home", "work", "state"):
        (directory / name).mkdir()
    environ = {
        **_ENVIRON,
        "HOME": str(directory / "home"),
        "MOONPOOL_HOME": str(directory / "state"),
    }
    return Shell(directory=directory / "work", zygote=zygote, environ=environ)


@pytest.fixture
def moonpool(tmp_path: Path, zygote: Zygote) -> Iterator[Shell]:
    """The command line with a home of its own; what it recorded is read again at the end."""
    yield shell_in(tmp_path, zygote)
    for run in sorted((tmp_path / "state" / "runs").glob("*")):
        check_recorded(run)


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
    """A run in a process of its own. What it says is always read: a full pipe would hold it up."""

    moonpool: Shell
    process: subprocess.Popen[str]
    engine: Engine
    rows: list[dict[str, Any]] = field(default_factory=list)
    """The events that a test has come to so far."""

    def __post_init__(self) -> None:
        self._coming: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_events, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read_events(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._coming.put(line)
        self._coming.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self._errors.append(self.process.stderr.read())

    def until(self, event: str, text: str = "") -> dict[str, Any]:
        while (line := self._coming.get(timeout=WAIT_S)) is not None:
            self.rows.append(json.loads(line))
            if self.rows[-1]["event"] == event and text in line:
                return self.rows[-1]
        raise AssertionError(f"no {event}: {self.rows[-1:]} {self._over()}")

    def until_exists(self, directory: Path, pattern: str) -> None:
        """Something of that name is in the directory while the process still runs."""
        until(lambda: any(directory.glob(pattern)), process=self.process)

    def until_ran(self, text: str = "ran", file: str = "count") -> None:
        """The long command sleeps: what it writes before that stands in a file of the workspace."""
        self.until("call_started", "sleep 60")
        until(lambda: text.encode() in self._file(file), process=self.process)

    def _file(self, name: str) -> bytes:
        """The archive of a file in the container, as the engine has it."""
        with contextlib.suppress(FileNotFoundError):
            return b"".join(self.engine.get_archive(self.container, f"/workspace/{name}"))
        return b""

    def kill(self) -> None:
        self.process.kill()
        self._over()

    def end(self) -> tuple[int, dict[str, Any], str]:
        """(exit code, summary, standard error)."""
        err = self._over()
        while (line := self._coming.get(timeout=WAIT_S)) is not None:
            self.rows.append(json.loads(line))
        return self.process.returncode, self.rows[-1], err

    def _over(self) -> str:
        """What stands on standard error once the process has ended."""
        self.process.wait(timeout=WAIT_S)
        for reader in self._readers:
            reader.join(timeout=WAIT_S)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return "".join(self._errors)

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
    started: list[Going] = []

    def starter(
        *turns: dict[str, Any],
        model: str = "",
        env: dict[str, str] | None = None,
        policy: str = "",
        workspace: str = ".",
    ) -> Going:
        scripted = saying(tmp_path / "script.yaml", *turns)
        (tmp_path / "policy.yaml").write_text(f"version: 1\nname: t\nextends: default\n{policy}\n")
        process = subprocess.Popen(
            [
                *(SCRIPT, "run", "x", "--json", "-p", str(tmp_path / "policy.yaml")),
                *("-m", model or scripted, "-w", workspace),
            ],
            cwd=moonpool.directory,
            env={**moonpool.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(Going(moonpool=moonpool, process=process, engine=engine))
        return started[-1]

    yield starter
    for going in started:
        going.kill()
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


@pytest.fixture
def chat(moonpool: Shell, tmp_path: Path, engine: Engine, image: str) -> Iterator["Chatting"]:
    from command_line.chatting import Chatting  # noqa: PLC0415 - which imports this

    chatting = Chatting(moonpool, tmp_path)
    yield chatting
    for terminal in chatting.begun:
        if terminal.code is None:
            terminal.__exit__()
    runs = Path(moonpool.environ["MOONPOOL_HOME"]) / "runs"
    for run in runs.iterdir() if runs.exists() else ():
        for row in engine.containers(f"{LABEL_RUN}={run.name}"):
            engine.remove(row.id)
