"""What a start costs: time, modules and memory of the command line, each beside a baseline.

A run of three cheap calls on a small repository is compared with the engine's own smallest run, and
`--help` with the same interpreter that does nothing; all take turns, and figures are medians.
`--against DIR` measures another checkout as well, in turn with this one and by its own `.venv`.
"""

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

RUN, HELP, TAB, INIT, ENGINE = "run", "help", "completion", "init", "docker run"
PYTHON = "python -c pass"
MODULES, MEMORY = "modules", "MiB"
SCRIPT = """\
version: 1
turns:
  - calls:
      - {tool: bash, arguments: {command: "true"}}
  - calls:
      - {tool: read_file, arguments: {path: a.txt}}
  - calls:
      - {tool: bash, arguments: {command: "echo x >> a.txt"}}
  - text: Done.
"""


_TYPED = ("moonpool", "show", "2")


class Row(NamedTuple):
    what: str
    measured: str
    at_most: float
    baseline: str = ""
    """Empty where the figure itself is the claim."""


ROWS = (
    Row("run of three calls / docker run --rm --network none IMAGE true", RUN, 2.2, ENGINE),
    Row("modules imported by that run", MODULES, 400),
    Row("peak memory of that run, MiB", MEMORY, 42),
    Row("moonpool --help / python -c pass", HELP, 5, PYTHON),
    Row("a tabulator behind moonpool show / python -c pass", TAB, 8, PYTHON),
    Row("moonpool init on 10,000 files / python -c pass", INIT, 15, PYTHON),
)


class Side:
    """One checkout."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.samples: dict[str, list[float]] = defaultdict(list)
        self._bin = root / ".venv/bin"
        workspace, script = scratch / "workspace", scratch / "three.yaml"
        workspace.mkdir(parents=True)
        (workspace / "a.txt").write_text("a\n")
        script.write_text(SCRIPT)
        self._run = ["run", "x", "-w", str(workspace), "-m", f"script:{script}"]
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            "MOONPOOL_HOME": str(scratch / "home"),
            "XDG_CACHE_HOME": str(scratch / "cache"),
        }
        self._init = ["init", "-w", str(_repository(scratch / "repository"))]
        self._proposes = (root / "agent/cli/commands/init.py").exists()
        self._completes = (root / "agent/cli/commands/completion.py").exists()
        # The first compiles the modules and copies the workspace.
        self._moonpool(self._run)

    def round(self) -> None:
        """One sample of each figure."""
        seconds, mebibytes = self._moonpool(self._run)
        self.samples[RUN].append(seconds)
        self.samples[MEMORY].append(mebibytes)
        self.samples[HELP].append(self._moonpool(["--help"])[0])
        if self._completes:
            self.samples[TAB].append(self._moonpool(["completion", "zsh", "--", *_TYPED])[0])
        if self._proposes:
            self.samples[INIT].append(self._moonpool(self._init)[0])

    def count_modules(self) -> None:
        python, moonpool = str(self._bin / "python"), str(self._bin / "moonpool")
        command = [python, "-X", "importtime", moonpool, *self._run]
        done = subprocess.run(command, env=self._environ, capture_output=True, check=True)
        self.samples[MODULES].append(done.stderr.count(b"import time:") - 1)  # a heading

    def _moonpool(self, arguments: Sequence[str]) -> tuple[float, float]:
        return _timed([str(self._bin / "moonpool"), *arguments], self._environ)


def _repository(root: Path) -> Path:
    """10,000 files in 101 folders, and manifests of two languages."""
    for number in range(100):
        folder = root / f"package{number}"
        folder.mkdir(parents=True)
        for file in range(80):
            (folder / f"module{file}.py").touch()
    (root / "tests").mkdir()
    for file in range(1_998):
        (root / "tests" / f"test_{file}.py").write_text("import unittest\n" * 100)
    (root / "pyproject.toml").write_text('[project]\nname = "a"\ndependencies = ["idna"]\n')
    (root / "package.json").write_text('{"devDependencies": {"tap": "1"}}')
    return root


def _timed(command: Sequence[str], environ: dict[str, str]) -> tuple[float, float]:
    """Seconds, and the largest resident size in MiB."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return time.perf_counter() - start, used.ru_maxrss / 1024


def _figure(row: Row, side: Side, baselines: dict[str, list[float]]) -> float:
    value = statistics.median(side.samples[row.measured] or [math.nan])
    return value / statistics.median(baselines[row.baseline]) if row.baseline else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout with a .venv")
    parser.add_argument("--rounds", type=int, default=15, help="of each figure (15)")
    parser.add_argument("--image", default="moonpool/python:latest", help="for the baseline")
    arguments = parser.parse_args()
    roots = [Path(__file__).resolve().parents[1]]
    if arguments.against:
        roots.append(arguments.against.resolve())
    engine = ["docker", "run", "--rm", "--network", "none", arguments.image, "true"]
    python = [sys.executable, "-c", "pass"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    baselines: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="moonpool-start-") as scratch:
        sides = [Side(root, Path(scratch) / str(number)) for number, root in enumerate(roots)]
        for _ in range(arguments.rounds):
            baselines[ENGINE].append(_timed(engine, plain)[0])
            baselines[PYTHON].append(_timed(python, plain)[0])
            for side in sides:
                side.round()
        for side in sides:
            side.count_modules()
    width = max(len(row.what) for row in ROWS)
    print(f"{'what':<{width}}  {'this':>7}{'  that   ' if len(sides) > 1 else '':<9} target")
    for row in ROWS:
        figures = [_figure(row, side, baselines) for side in sides]
        shown = "  ".join(f"{figure:>7.2f}" for figure in figures)
        flag = "" if figures[0] <= row.at_most else "  MISSED"
        print(f"{row.what:<{width}}  {shown}   <= {row.at_most:g}{flag}")


if __name__ == "__main__":
    main()
