"""Batches of scripted tasks, in processes that are killed, and what has to be there in the end."""

import json
import subprocess
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from command_line.running import SCRIPT, Shell
from fakes.model import saying
from sandbox import supply
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_DEADLINE, LABEL_MANAGED, LABEL_POOL, LABEL_RUN
from waiting import WAIT_S, until


@dataclass
class Batching:
    """A batch in `out` of the shell's directory. `run` it, or `start` and `kill`, as often as may
    be."""

    moonpool: Shell
    engine: Engine
    workers: int = 2
    tasks: list[dict[str, Any]] = field(default_factory=list)
    _started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def out(self) -> Path:
        return self.moonpool.directory / "out"

    def task(self, name: str, *turns: dict[str, Any], **more: Any) -> None:
        """One more task, with a folder and a script of its own."""
        workspace = self.moonpool.directory / "repos" / name
        workspace.mkdir(parents=True, exist_ok=True)
        (workspace / "a.txt").write_text(f"{name}\n")
        model = saying(self.moonpool.directory / f"{name}.yaml", *turns)
        row = {"id": name, "task": "x", "workspace": f"repos/{name}", "model": model}
        self.tasks.append({**row, **more})

    def written(self) -> Path:
        path = self.moonpool.directory / "tasks.jsonl"
        path.write_text("".join(json.dumps(task) + "\n" for task in self.tasks))
        return path

    def words(self, *more: str) -> list[str]:
        return ["batch", "run", str(self.written()), "-o", "out", "-j", str(self.workers), *more]

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        return self.moonpool(*self.words(*more))

    def start(self, *more: str) -> subprocess.Popen[str]:
        """A process of its own, whose events come on standard output."""
        process = subprocess.Popen(
            [str(SCRIPT), *self.words("--json", *more)],
            cwd=self.moonpool.directory,
            env=self.moonpool.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._started.append(process)
        return process

    def until(self, process: subprocess.Popen[str], event: str) -> dict[str, Any]:
        """Read its events up to one of that kind."""
        assert process.stdout is not None
        for line in process.stdout:
            row: dict[str, Any] = json.loads(line)
            if row["event"] == event:
                return row
        raise AssertionError(f"it ended without {event}: {process.wait()}")

    def end(self, process: subprocess.Popen[str]) -> tuple[int, list[dict[str, Any]]]:
        """Its exit code and the events that were not read yet."""
        out, _ = process.communicate(timeout=WAIT_S)
        return process.returncode, [json.loads(line) for line in out.splitlines()]

    def kill_after(self, seconds: float) -> bool:
        """Start it, and kill it after so long; False where it had come to its end by then."""
        process = self.start()
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return True
        return False

    def until_calls(self, process: subprocess.Popen[str], count: int) -> None:
        """Until so many runs have begun a call."""
        self.until_recorded(process, '"call_started"', count)

    def until_recorded(self, process: subprocess.Popen[str], text: str, count: int) -> None:
        """Until the records of so many runs hold a text."""
        until(
            lambda: len([one for one in self.records() if text in one.read_text()]) >= count,
            process=process,
        )

    def records(self) -> list[Path]:
        return list((self.out / "runs").glob("*/events.jsonl"))

    # -- what came of it --------------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        lines = (self.out / "results.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def outcomes(self) -> dict[str, str]:
        return {row["task_id"]: row["outcome"] for row in self.rows()}

    def patch_of(self, row: dict[str, Any]) -> str:
        return (self.out / str(row["patch"])).read_text()

    def left(self) -> list[str]:
        """Containers and volumes of this batch's runs that stand."""
        runs = {path.parent.name for path in self.records()}
        found = [
            row.name
            for row in self.engine.containers(LABEL_DEADLINE)
            if supply.run_of(row.labels, row.name) in runs
        ]
        volumes = self.engine.volumes(LABEL_MANAGED)
        return found + [row.name for row in volumes if row.labels.get(LABEL_RUN) in runs]

    def close(self) -> None:
        end(self.engine, self._started, {path.parent.name for path in self.records()})


def end(
    engine: Engine, processes: Sequence["subprocess.Popen[str]"], runs: Collection[str] = ()
) -> None:
    """Kill batches; what they made ahead goes too, and what stands of these runs."""
    for process in processes:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    # The third word of a pool's name is the number of its process.
    pools = {str(process.pid) for process in processes}
    for row in engine.containers(LABEL_DEADLINE):
        number = " ".join(row.labels.get(LABEL_POOL, "").split()[2:3])
        if number in pools or supply.run_of(row.labels, row.name) in runs:
            engine.remove(row.id)


def counted(rows: Sequence[dict[str, Any]]) -> Counter[str]:
    return Counter(row["task_id"] for row in rows)
