"""Speed of the sandbox, each figure beside a baseline measured in the same run.

`make bench` prints the table. Medians; measured and baseline in turn, so that a machine that
slows down slows both. Absolute times are shown for orientation: the ratios are the claims.
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from rich.console import Console
from rich.table import Table

from images.build import ensure
from policies.loading import load
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.sandbox import Sandbox

FILES = 10_000
FILE_BYTES = 36_700  # 350 MiB in all


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    what: str
    measured_s: float
    baseline: str
    baseline_s: float
    target: float
    at_least: bool = False

    @property
    def ratio(self) -> float:
        return self.measured_s / self.baseline_s

    @property
    def met(self) -> bool:
        return self.ratio >= self.target if self.at_least else self.ratio <= self.target


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turn(count: int, *calls: Callable[[], object]) -> list[float]:
    """Median seconds of each call, after one warm-up of each."""
    for call in calls:
        call()
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(count):
        for call, gathered in zip(calls, times, strict=True):
            gathered.append(timed(call))
    return [statistics.median(gathered) for gathered in times]


class Bench:
    def __init__(self, engine: Engine, image: str, policy: Policy, scratch: Path) -> None:
        self.engine = engine
        self.image = image
        self.policy = policy
        self.scratch = scratch
        self.small = scratch / "small"
        self.small.mkdir()
        (self.small / "a.py").write_text("print('hello')\n")
        self.large = scratch / "large"
        self._docker_run_s = 0.0

    def open(self, workspace: Path) -> Sandbox:
        return Sandbox.open(
            workspace=workspace, policy=self.policy, image=self.image, engine=self.engine
        )

    def docker_run(self) -> None:
        command = ["docker", "run", "--rm", "--network", "none", self.image, "true"]
        subprocess.run(command, check=True, capture_output=True)

    # -- warm calls ------------------------------------------------------------------------

    def calls(self) -> Iterator[Row]:
        client = docker.from_env()
        with self.open(self.small) as box:
            container = client.containers.get(box.id)
            plain = client.containers.create(
                self.image, ["sleep", "600"], network_mode="none", user="1000"
            )
            plain.start()
            try:
                run, host = in_turn(
                    200,
                    lambda: box.run("true"),
                    lambda: subprocess.run(["bash", "-c", "true"], capture_output=True, check=True),
                )
                # Not in turn with those: the engine goes on cleaning up after an exec has
                # answered, which would be counted against whatever comes next.
                (exec_run,) = in_turn(30, lambda: plain.exec_run(["bash", "-c", "true"]))
            finally:
                plain.remove(force=True)
            assert container.status == "running"
            yield Row(
                what="bash -c true, warm", measured_s=run,
                baseline="subprocess on the host", baseline_s=host, target=1.35,
            )  # fmt: skip
            yield Row(
                what="bash -c true, warm", measured_s=run,
                baseline="exec_run by the SDK", baseline_s=exec_run, target=0.035,
            )  # fmt: skip
            content = os.urandom(10_000)

            def write_and_read() -> None:
                box.write_file("file.bin", content)
                assert box.read_file("file.bin") == content

            def million() -> None:
                result = box.run("head -c 1000000 /dev/zero")
                assert result.out.total_bytes == 1_000_000

            output, files, true = in_turn(
                50,
                million,
                write_and_read,
                lambda: subprocess.run(["true"], capture_output=True, check=True),
            )
            yield Row(
                what="1 MB of output (64 KiB kept, all spilled)", measured_s=output,
                baseline="subprocess true", baseline_s=true, target=8,
            )  # fmt: skip
            yield Row(
                what="10 kB write_file + read_file", measured_s=files,
                baseline="subprocess true", baseline_s=true, target=1,
            )  # fmt: skip

    # -- open, export, close ---------------------------------------------------------------

    def life(self) -> Iterator[Row]:
        self._fill_large()
        first, copy = self._first_time()
        times: dict[str, list[float]] = {
            key: [] for key in ("small", "large", "export", "close", "docker run")
        }
        self._open_and_run(self.small).close()
        self._open_and_run(self.large).close()
        self.docker_run()
        for turn in range(9):
            for key, workspace in (("small", self.small), ("large", self.large)):
                start = time.perf_counter()
                box = self._open_and_run(workspace)
                times[key].append(time.perf_counter() - start)
                if key == "large":
                    for name in ("d1/s1/f101.py", "d50/s3/f350.py", "d99/s9/f999.py"):
                        box.write_file(name, b"changed %d\n" % turn)
                    start = time.perf_counter()
                    patch = box.export()
                    times["export"].append(time.perf_counter() - start)
                    assert len(patch.changes) == 3
                start = time.perf_counter()
                box.close()
                if key == "small":
                    times["close"].append(time.perf_counter() - start)
            times["docker run"].append(timed(self.docker_run))
        median = {key: statistics.median(values) for key, values in times.items()}
        run = median["docker run"]
        docker_run = "docker run --rm --network none IMAGE true"
        yield Row(
            what="open to first result, small", measured_s=median["small"],
            baseline=docker_run, baseline_s=run, target=1.1,
        )  # fmt: skip
        yield Row(
            what="open to first result, 350 MB in 10,000 files, second time",
            measured_s=median["large"],
            baseline="the small one", baseline_s=median["small"], target=1.15,
        )  # fmt: skip
        yield Row(
            what="the same, first time", measured_s=first,
            baseline="cp -a of it on the host", baseline_s=copy, target=3,
        )  # fmt: skip
        yield Row(
            what="whole export after changing 3 files in it", measured_s=median["export"],
            baseline=docker_run, baseline_s=run, target=1,
        )  # fmt: skip
        yield Row(
            what="close until the container is gone", measured_s=median["close"],
            baseline=docker_run, baseline_s=run, target=0.3,
        )  # fmt: skip

    def _open_and_run(self, workspace: Path) -> Sandbox:
        box = self.open(workspace)
        assert box.run("true").exit_code == 0
        return box

    def _fill_large(self) -> None:
        chooser = random.Random(1)
        block = chooser.randbytes(1 << 20)
        for number in range(FILES):
            folder = self.large / f"d{number % 100}/s{number // 100 % 10}"
            folder.mkdir(parents=True, exist_ok=True)
            start = chooser.randrange(len(block) - FILE_BYTES)
            (folder / f"f{number}.py").write_bytes(block[start : start + FILE_BYTES])
        # Young files are compared by content, as git does; users' files are rarely that young.
        time.sleep(2.5)

    def _first_time(self) -> tuple[float, float]:
        first, copies = [], []
        target = self.scratch / "copy"

        def copy() -> None:
            subprocess.run(["cp", "-a", self.large, target], check=True)

        for turn in range(3):
            os.sync()
            copies.append(timed(copy))
            shutil.rmtree(target)
            (self.large / "turn").write_text(f"{time.time_ns()} {turn}")
            os.sync()
            start = time.perf_counter()
            box = self._open_and_run(self.large)
            first.append(time.perf_counter() - start)
            box.close()
        time.sleep(2.5)
        return statistics.median(first), statistics.median(copies)

    # -- many ------------------------------------------------------------------------------

    def many(self) -> Iterator[Row]:
        count = 16

        def cycle() -> None:
            self._open_and_run(self.small).close()

        cycle()

        def in_a_row() -> None:
            for _ in range(count):
                cycle()

        alone = timed(in_a_row)

        def together() -> None:
            todo = list(range(count))

            def work() -> None:
                while todo:
                    todo.pop()
                    cycle()

            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        eight = timed(together)
        yield Row(
            what="sandboxes a second, 8 at once (seconds shown are per sandbox, inverted ratio)",
            measured_s=alone / count, baseline="one at a time", baseline_s=eight / count,
            target=1.6, at_least=True,
        )  # fmt: skip

    def memory(self) -> list[tuple[str, float]]:
        """PSS in MB of one idle sandbox with its shim: alone, and as one of eight."""
        with opened(self, 1) as boxes:
            alone = sum(map(self._pss, boxes))
        with opened(self, 8) as boxes:
            eight = sum(map(self._pss, boxes)) / 8
        return [("alone on the machine", alone), ("one of eight", eight)]

    def _pss(self, box: Sandbox) -> float:
        state = self.engine.inspect(box.id)["State"]
        main = int(state["Pid"])
        stat = Path(f"/proc/{main}/stat").read_text()
        shim = int(stat.rpartition(")")[2].split()[1])
        total = 0
        for pid in (main, shim):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        return total * 1024 / 1e6


@contextmanager
def opened(bench: Bench, count: int) -> Iterator[list[Sandbox]]:
    boxes = [bench.open(bench.small) for _ in range(count)]
    try:
        for box in boxes:
            box.run("true")
        time.sleep(1)
        yield boxes
    finally:
        for box in boxes:
            box.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skip-large", action="store_true", help="leave out the 350 MB workspace")
    arguments = parser.parse_args()
    console = Console()
    engine = Engine.connect()
    image = ensure(engine, "python", on_progress=console.print)
    scratch = Path(tempfile.mkdtemp(prefix="moonpool-bench-"))
    try:
        bench = Bench(engine, image, load("default"), scratch)
        parts = [bench.calls, bench.many]
        if not arguments.skip_large:
            parts.insert(1, bench.life)
        rows = [row for part in parts for row in part()]
        table = Table("what", "ms", "baseline", "ms ", "ratio", "target", "")
        for row in rows:
            table.add_row(
                row.what, f"{row.measured_s * 1e3:.2f}", row.baseline,
                f"{row.baseline_s * 1e3:.2f}", f"{row.ratio:.3f}",
                f"{'≥' if row.at_least else '≤'} {row.target}", "" if row.met else "MISSED",
            )  # fmt: skip
        for name, size in bench.memory():
            table.add_row(
                f"memory of one idle sandbox, shim included: {name}", "", "", "",
                f"{size:.1f} MB", "≤ 15 MB", "" if size <= 15 else "MISSED",
            )  # fmt: skip
        console.print(table)
    finally:
        shutil.rmtree(scratch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
