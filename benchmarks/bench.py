"""Speed of the sandbox, each figure beside a baseline measured in the same process.

`make bench` prints the table, a line a row. Figures are medians; what is measured and its baseline
take turns, so that a machine that slows down slows both: the ratios are the claims, the absolute
figures are for orientation. `--against DIR` measures another checkout as well, in turn with this
one and by its own `.venv/bin/python`, and prints the ratio of this one to it.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Self

SLOWER = 1.03
"""By so much may a row of this checkout exceed the same row of another one: that much is noise."""
FIRST = "open to first result, 350 MB, first time"
DOCKER_RUN = "docker run --rm --network none IMAGE true"


PARTS = ("first", "calls", "life", "many", "memory", "huge")
FILLS = {"first": "fill", "huge": "fill_huge"}
"""What makes the workspace of a part."""


class Row(NamedTuple):
    measured: str
    """The name under which the worker has it."""
    at_most: float
    baseline: str = ""
    """Its name likewise; without one the figure itself is the claim."""


ROWS = (
    Row("bash -c true, warm", 1.35, "subprocess bash -c true"),
    Row("bash -c true, warm", 0.035, "exec_run by the SDK"),
    Row("1 MB of output (64 KiB kept, all spilled)", 8, "subprocess true"),
    Row("10 kB write_file + read_file", 1, "subprocess true"),
    Row("open to first result, small", 1.1, DOCKER_RUN),
    Row("open to first result, 350 MB", 1.15, "open to first result, small"),
    Row(FIRST, 3, "cp -a of it on the host"),
    Row(FIRST, 0.6, "docker load of it as one layer"),
    Row("open to first result, 350 MB, 3 files changed", 0.1, FIRST),
    Row("open to first result, 1.2 GB in 100,000 files", 1.3, "open to first result, small"),
    Row("MiB of the process that copies these", 80),
    Row("export after changing 3 files of it", 1, DOCKER_RUN),
    Row("close until the container is gone", 0.3, DOCKER_RUN),
    Row("open, run, close: each of 8 at once", 0.625, "open, run, close: one at a time"),
    Row("MB of one idle sandbox with its shim", 15),
    Row("MB of one of eight", 15),
)


class Side:
    """One checkout: a process that measures parts as they are asked for, and what it found."""

    def __init__(self, python: Path, scratch: Path) -> None:
        self.samples: dict[str, list[float]] = defaultdict(list)
        self._process = subprocess.Popen(
            [python, "-P", Path(__file__).with_name("measuring.py"), scratch],
            env={**os.environ, "XDG_CACHE_HOME": str(scratch / "cache")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate()

    def round(self, part: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(part, file=self._process.stdin, flush=True)
        for name, values in json.loads(self._process.stdout.readline()).items():
            self.samples[name] += values

    def median(self, name: str) -> float:
        return statistics.median(self.samples[name])


def _figure(row: Row, name: str, side: Side) -> str:
    return f"{side.median(name) * (1e3 if row.baseline else 1):.2f}"


def _claim(row: Row, this: Side) -> tuple[str, ...]:
    ratio = this.median(row.measured) / (this.median(row.baseline) if row.baseline else 1)
    baseline = _figure(row, row.baseline, this) if row.baseline else ""
    flag = "" if ratio <= row.at_most else "MISSED"
    shown = (_figure(row, row.measured, this), row.baseline, baseline, f"{ratio:.3f}")
    return (row.measured, *shown, f"<= {row.at_most}", flag)


def _comparison(row: Row, this: Side, that: Side) -> tuple[str, ...]:
    ratio = this.median(row.measured) / that.median(row.measured)
    figures = (_figure(row, row.measured, this), _figure(row, row.measured, that))
    return (row.measured, *figures, f"{ratio:.3f}", "" if ratio <= SLOWER else "SLOWER")


def _print(*rows: tuple[str, ...]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout with a .venv")
    parser.add_argument("--rounds", type=int, default=3, help="of each part (3)")
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=PARTS[:-1],
        help="what to measure (all but huge: 1.2 GB in 100,000 files, minutes); `life` opens the "
        "350 MB too where `first` is among them",
    )
    arguments = parser.parse_args()
    fills = [FILLS[part] for part in FILLS if part in arguments.parts]
    rounds = [*fills, *[part for part in PARTS if part in arguments.parts] * arguments.rounds]
    with ExitStack() as stack:
        scratch = Path(tempfile.mkdtemp(prefix="moonpool-bench-"))
        stack.callback(shutil.rmtree, scratch)
        this = stack.enter_context(Side(Path(sys.executable), scratch / "this"))
        sides = [this]
        if arguments.against:
            python = arguments.against / ".venv/bin/python"
            sides.append(stack.enter_context(Side(python, scratch / "that")))
        for part in rounds:
            for side in sides:
                side.round(part)
            # Whoever comes second finds the machine as the first left it.
            sides.reverse()
        # What a row is compared with may be of a part that was not asked for.
        rows = [row for row in ROWS if this.samples.keys() >= {row.measured, row.baseline} - {""}]
        _print(
            ("what", "ms", "baseline", "ms", "ratio", "target", ""),
            *(_claim(row, this) for row in rows),
        )
        if arguments.against:
            print()
            that = next(side for side in sides if side is not this)
            _print(
                ("what", "this, ms", "that, ms", "ratio", ""),
                *(_comparison(row, this, that) for row in {r.measured: r for r in rows}.values()),
            )


if __name__ == "__main__":
    main()
