"""Options and arguments of ``moonpool batch``."""

import os
import re
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from agent.batch.queue.ownership import owner_of
from agent.batch.queue.store import BatchQueue
from agent.cli.arguments import Parameter, converted, optional_argument

_MEMORY_A_RUN = 1 << 30
"""What a run takes of the machine's memory, guessed: its policy may allow its container more."""
_RUNS_A_CORE = 2
"""Most of a run's time is spent waiting for its model."""


class Shard(NamedTuple):
    number: int
    """From 1."""
    of: int


def _directory(word: str) -> Path:
    if not word:
        raise ValueError("the name of a folder is expected, and this is empty")
    return Path(word)


def _count(word: str, most: int = 9999) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", word, re.ASCII) or not 1 <= int(word) <= most:
        raise ValueError(f"{word!r} is not a whole number from 1 to {most}")
    return int(word)


def _attempts(word: str) -> int:
    from agent.batch.tasks.form import ATTEMPTS_LIMIT

    return _count(word, ATTEMPTS_LIMIT)


def _dollars(word: str) -> float:
    if not re.fullmatch(r"\$?[0-9]+(\.[0-9]+)?", word, re.ASCII) or float(word.lstrip("$")) <= 0:
        raise ValueError(f"{word!r} is not an amount of dollars, such as 20 or 12.50")
    return float(word.lstrip("$"))


def _tokens(word: str) -> int:
    return _count(word, 10**15 - 1)


def _seconds(word: str) -> float:
    from policies.file.scalars import duration_s

    return duration_s(word)


def _shard(word: str) -> Shard:
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", word, re.ASCII)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f"{word!r} is not I/N, such as 2/8 for the second of eight parts")
    return Shard(int(found[1]), int(found[2]))


OUT = converted(
    _directory,
    "-o",
    "--out",
    metavar="DIR",
    help="The batch's folder; without: TASKS' name with .batch.",
)
DIRECTORY: Parameter[Path] = Parameter(
    metavar="DIR", help="The batch's folder.", default=Path(), convert=_directory, required=True
)
TASK_ID = optional_argument("ID", "One task; without: all.")
WORKERS = converted(
    _count,
    "-j",
    "--jobs",
    metavar="N",
    help="How many tasks run at once; without: by cores and memory.",
)
WORKERS_NOW = converted(
    _count, "-j", "--jobs", metavar="N", help="How many tasks run at once from now on."
)
ATTEMPTS: Parameter[int] = Parameter(
    names=("--attempts",),
    metavar="N",
    help="Independent attempts at each task that does not say how many; one is chosen.",
    default=1,
    convert=_attempts,
    notes="default: 1",
)
DOLLARS = converted(
    _dollars, "--usd", metavar="X", help="What the whole batch may cost, in dollars."
)
TOKENS = converted(
    _tokens,
    "--tokens",
    metavar="N",
    help="What the whole batch may use, in tokens of input and output.",
)
TIME = converted(
    _seconds,
    "--time",
    metavar="TIME",
    help="How long the whole batch may take, such as 8h; what runs then is exported.",
)
SHARD = converted(
    _shard,
    "--shard",
    metavar="I/N",
    help="Only every N-th task, from the I-th on: one of N machines, each with its own DIR.",
)


def opened(directory: Path) -> closing[BatchQueue]:
    """The queue of a batch that was begun, whoever works on it.

    Raises:
        UsageError: there is none.
        RecordError: it can't be used.
    """
    return closing(BatchQueue.open(directory))


def unowned(directory: Path) -> None:
    """Say so where nobody does what was just asked for."""
    if owner_of(directory) is None:
        print("no process works on it: give the command again that began it")


def usual_workers() -> tuple[int, str]:
    """How many tasks run at once where nobody says it, and why, for a person."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    count = max(1, min(cores * _RUNS_A_CORE, memory // _MEMORY_A_RUN))
    return count, f"{cores} cores, {memory >> 30} GiB of memory"
