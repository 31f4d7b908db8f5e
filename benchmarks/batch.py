"""What a batch costs: its tasks beside plain containers, and beside mini-swe-agent's.

Scripted tasks of three calls on one repository, by `moonpool batch run`, take turns with as many
plain containers that the docker SDK creates, starts and removes at the same concurrency, and with
the same tasks in mini-swe-agent (its own code, installed for this into an environment of its own).
Then what a warm sandbox, many sandboxes, more runs in one process and a long file of tasks cost.

By default all of it is scaled down to about a minute; `--full` is what the claims are about.
"""

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from base64 import encodebytes
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import docker

HERE = Path(__file__).resolve().parent
IMAGE = "moonpool/python:latest"
MINI = "mini-swe-agent==2.4.6"
FILES = 6000
YOUNG_S = 2.5
"""Younger files are compared by content, as git does; users' files are rarely that young."""
CALLS = """\
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
WAITING = """\
version: 1
turns:
  - calls:
      - {tool: bash, arguments: {command: "sleep 4"}}
  - text: Done.
"""


class Sizes(NamedTuple):
    tasks: int
    jobs: int
    megabytes: int
    sandboxes: int
    queued: int
    runs: int
    """At once, for the memory of each."""
    rounds: int


SMALL = Sizes(tasks=24, jobs=4, megabytes=30, sandboxes=24, queued=1000, runs=6, rounds=1)
FULL = Sizes(tasks=200, jobs=8, megabytes=300, sandboxes=256, queued=10_000, runs=16, rounds=2)


class Bench:
    """One scratch directory with a repository, scripts and caches of its own."""

    def __init__(self, scratch: Path, sizes: Sizes) -> None:
        self.scratch, self.sizes = scratch, sizes
        self.repository = _repository(scratch / "repository", sizes.megabytes)
        self.small = scratch / "small"
        self.small.mkdir()
        (self.small / "a.txt").write_text("a\n")
        for name, text in (("calls", CALLS), ("waiting", WAITING)):
            (scratch / f"{name}.yaml").write_text(text)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self.environ = {
            **kept,
            "MOONPOOL_HOME": str(scratch / "home"),
            "XDG_CACHE_HOME": str(scratch / "cache"),
        }
        self.client = docker.DockerClient(
            base_url=os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"),
            max_pool_size=sizes.jobs,
        )
        time.sleep(YOUNG_S)

    # -- a batch, and what it is compared with -----------------------------------------------

    def batch(self, workspace: Path, count: int, jobs: int, script: str = "calls") -> list[str]:
        """The command for a batch in a folder of its own."""
        name = f"batch-{time.time_ns()}"
        tasks = self.scratch / f"{name}.jsonl"
        rows = ({"id": f"t{n}", "workspace": str(workspace), "task": "x"} for n in range(count))
        tasks.write_text("".join(json.dumps(row) + "\n" for row in rows))
        model = f"script:{self.scratch / script}.yaml"
        moonpool = Path(sys.executable).with_name("moonpool")
        return [
            str(moonpool), "batch", "run", str(tasks), "-o", str(self.scratch / name),
            "-j", str(jobs), "-m", model,
        ]  # fmt: skip

    def tasks_s(self) -> float:
        sizes = self.sizes
        command = self.batch(self.repository, sizes.tasks, sizes.jobs)
        start = time.perf_counter()
        subprocess.run(command, env=self.environ, check=True, capture_output=True)
        return time.perf_counter() - start

    def plain_s(self) -> float:
        """As many plain containers, by the SDK."""

        def one(_: int) -> None:
            made = self.client.containers.create(
                IMAGE, ["sleep", "600"], network_mode="none", user="1000"
            )
            made.start()
            made.remove(force=True)

        one(0)
        start = time.perf_counter()
        with ThreadPoolExecutor(self.sizes.jobs) as threads:
            list(threads.map(one, range(self.sizes.tasks)))
        return time.perf_counter() - start

    def mini_s(self, python: Path) -> float:
        """The same tasks by mini-swe-agent; the repository is in its image, as it wants it."""
        command = [str(python), str(HERE / "mini_tasks.py"), self._copy(), str(self.sizes.tasks)]
        done = subprocess.run(
            [*command, str(self.sizes.jobs)],
            env={**self.environ, "MSWEA_SILENT_STARTUP": "1"},
            check=True,
            capture_output=True,
            text=True,
        )
        # It stops its containers behind its back, ten seconds after each.
        while self.client.containers.list(ignore_removed=True, filters={"name": "minisweagent-"}):
            time.sleep(0.5)
        return float(done.stdout.split()[-1])

    def _copy(self) -> str:
        """The image with the copy of the repository, which a batch left."""
        found = [path.name.split(".")[0] for path in self._manifests()]
        sized = [self.client.images.get(f"moonpool/snapshot:{key}") for key in found]
        return str(max(sized, key=lambda image: image.attrs["Size"]).id)

    def _manifests(self) -> list[Path]:
        return list((self.scratch / "cache/moonpool/manifests").glob("*"))

    def close(self) -> None:
        for path in self._manifests():
            name = f"moonpool/snapshot:{path.name.split('.')[0]}"
            subprocess.run(["docker", "rmi", name], capture_output=True, check=False)

    # -- what more of something costs ---------------------------------------------------------

    def pooled(self, part: str, more: str) -> dict[str, list[float]]:
        worker = str(HERE / "pooled.py")
        command = [sys.executable, "-P", worker, part, str(self.small), more]
        done = subprocess.run(command, env=self.environ, check=True, capture_output=True, text=True)
        found: dict[str, list[float]] = json.loads(done.stdout)
        return found

    def peak_mib(self, jobs: int) -> float:
        """PSS of a batch of that many runs, all in the middle of a call."""
        command = self.batch(self.repository, jobs, jobs, "waiting")
        process = subprocess.Popen(
            command, env=self.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, _pss_kib(process.pid))
            time.sleep(0.1)
        assert process.returncode == 0
        return peak / 1024

    def first_call_s(self) -> float:
        """From the start of a long batch to the first call of its first task."""
        command = self.batch(self.small, self.sizes.queued, 2)
        folder = Path(command[command.index("-o") + 1])
        start = time.perf_counter()
        process = subprocess.Popen(
            command, env=self.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not any(b'"call_started"' in path.read_bytes() for path in _events(folder)):
            assert process.poll() is None, "the batch ended before its first call"
            time.sleep(0.01)
        taken_s = time.perf_counter() - start
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        process.wait()
        return taken_s


def _events(folder: Path) -> list[Path]:
    return list(folder.glob("runs/*/events.jsonl"))


def _pss_kib(pid: int) -> int:
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(row.split()[1]) for row in rows if row.startswith("Pss:")), 0)


def _repository(root: Path, megabytes: int) -> Path:
    """A git repository of that size in all: half of it in its files, half in its history."""
    block = encodebytes(random.Random(1).randbytes(4 << 20))
    each = (megabytes * 1_000_000 * 4 // 7) // FILES
    for number in range(FILES):
        folder = root / f"d{number % 100}/s{number // 100 % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        at = random.Random(number).randrange(len(block) - each)
        (folder / f"f{number}.py").write_bytes(b"# %d\n" % number + block[at : at + each])
    (root / "a.txt").write_text("a\n")
    git = ["git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (
        ["init", "-q"],
        ["add", "-A"],
        ["commit", "-q", "-m", "x"],
        ["repack", "-adq"],
    ):
        subprocess.run([*git, "-c", "core.compression=1", *arguments], check=True)
    return root


def _with_mini(place: Path) -> Path:
    """The Python of an environment that has mini-swe-agent."""
    venv.create(place, with_pip=True)
    python = place / "bin/python"
    install = [str(python), "-m", "pip", "install", "-q", MINI]
    subprocess.run(install, check=True, capture_output=True)
    return python


def _print(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def _row(what: str, figure: float, target: float, *, least: bool = False) -> tuple[str, ...]:
    met = figure >= target if least else figure <= target
    return (what, f"{figure:.2f}", f"{'>=' if least else '<='} {target:g}", "" if met else "MISSED")


Rows = list[tuple[str, ...]]


def many_tasks(bench: Bench, mini: Path | None) -> Rows:
    sizes = bench.sizes
    bench.tasks_s()  # the first copies the repository
    ours, plain, minis = [], [], []
    for _ in range(sizes.rounds):
        plain.append(bench.plain_s())
        ours.append(bench.tasks_s())
        if mini is not None:
            minis.append(bench.mini_s(mini))
    per_task = statistics.median(ours)
    what = f"{sizes.tasks} tasks on {sizes.megabytes} MB at -j {sizes.jobs}"
    rows = [
        _row(f"{what} / plain containers by the SDK", per_task / statistics.median(plain), 1.25)
    ]
    if minis:
        figure = statistics.median(minis) / per_task
        rows.append(_row(f"{what}, tasks an hour / mini-swe-agent's", figure, 3, least=True))
    return rows


def warm_pool(bench: Bench, _mini: Path | None) -> Rows:
    warm = bench.pooled("warm", IMAGE)
    first, run = (statistics.median(warm[name]) for name in ("warm", "docker run"))
    return [
        _row("open from the warm pool to the first result, ms", first * 1e3, 50),
        _row("  / docker run --rm --network none IMAGE true", first / run, 0.2),
    ]


def many_sandboxes(bench: Bench, _mini: Path | None) -> Rows:
    count = bench.sizes.sandboxes
    many = {name: value for name, (value,) in bench.pooled("many", str(count)).items()}
    return [
        _row("sandboxes at once, all answering", many["answering"], count, least=True),
        _row("  opened a second by 8 threads", many["a second"], 16, least=True),
        _row("  MiB of the orchestrator each", many["MiB each"], 0.4),
    ]


def memory(bench: Bench, _mini: Path | None) -> Rows:
    runs = bench.sizes.runs
    each = (bench.peak_mib(runs) - bench.peak_mib(1)) / (runs - 1)
    return [_row("MiB of the orchestrator for each run above the first", each, 6)]


def queue(bench: Bench, _mini: Path | None) -> Rows:
    what = f"start to first call, {bench.sizes.queued} tasks, s"
    return [_row(what, bench.first_call_s(), 3)]


PARTS: dict[str, Callable[[Bench, Path | None], Rows]] = {
    "tasks": many_tasks,
    "warm": warm_pool,
    "many": many_sandboxes,
    "memory": memory,
    "queue": queue,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="as large as the claims (half an hour)")
    for name in Sizes._fields:
        parser.add_argument(f"--{name}", type=int, help=f"({getattr(SMALL, name)})")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[*PARTS], help="some of it")
    parser.add_argument("--skip-mini", action="store_true", help="leave out mini-swe-agent")
    parser.add_argument("--mini", type=Path, help="a Python that has it, instead of installing it")
    given = parser.parse_args()
    sizes = FULL if given.full else SMALL
    sizes = sizes._replace(
        **{name: getattr(given, name) for name in Sizes._fields if getattr(given, name) is not None}
    )
    scratch = Path(tempfile.mkdtemp(prefix="moonpool-batch-"))
    try:
        mini = given.mini
        if mini is None and not given.skip_mini and "tasks" in given.only:
            mini = _with_mini(scratch / "mini")
        bench = Bench(scratch, sizes)
        try:
            found = [row for name in given.only for row in PARTS[name](bench, mini)]
            _print([("what", "figure", "target", ""), *found])
        finally:
            bench.close()
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
