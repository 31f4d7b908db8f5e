"""A tasks file, or a folder of tasks, read as a whole: all of it is checked before a task starts.

Owns which form is which, and that ids are unique. Each form has a module of its own.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from agent.batch.task import Task
from agent.batch.tasks import harbor, rows_csv, rows_json, rows_parquet, rows_yaml
from agent.batch.tasks.complaints import Complaints
from agent.batch.tasks.entries import TaskMaker
from agent.batch.tasks.permits import Permits
from agent.batch.tasks.row import TaskRow
from agent.batch.tasks.swebench import MARK, InstanceRows
from agent.errors import UsageError
from policies.errors import PolicyError
from policies.file.document import utf8
from policies.frozen import dataclass

MAX_FILE_BYTES = 1 << 29
_FORMS = "a name ends in .yaml, .jsonl, .json, .csv or .parquet, or is a folder with a task.toml"

_Rows = Callable[..., Iterator[TaskRow]]
_READERS: dict[str, _Rows] = {
    ".yaml": rows_yaml.rows,
    ".yml": rows_yaml.rows,
    ".jsonl": rows_json.lines,
    ".ndjson": rows_json.lines,
    ".json": rows_json.array,
    ".csv": rows_csv.rows,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskList:
    tasks: tuple[Task, ...]
    """In the order of the file; their ids are unique."""
    notes: tuple[str, ...] = ()
    """For the person: what was taken for what, and what is not used."""


def read_tasks(path: Path, *, policies: Path | None = None) -> TaskList:
    """Every task that a file or a folder holds.

    Args:
        path: as the operator gave it; errors call it so.
        policies: the operator's own folder of policies, for names that are not bundled.

    Raises:
        UsageError: a line for each thing that is wrong: ``FILE:LINE: KEY: what to write``.
    """
    complaints = Complaints()
    notes: list[str] = []
    tasks = _unique(_read(path, policies, complaints, notes), complaints)
    complaints.settle()
    if not tasks:
        raise UsageError(f"{path}: there is no task in it")
    return TaskList(tasks=tasks, notes=tuple(notes))


def _read(
    path: Path,
    policies: Path | None,
    complaints: Complaints,
    notes: list[str],
) -> Iterator[Task]:
    if os.path.isdir(path):
        yield from harbor.tasks(path, complaints, notes)
        return
    maker = TaskMaker(Path(os.path.realpath(path.parent)), Permits(policies), complaints)
    instances: InstanceRows | None = None
    for row in _rows(path, complaints):
        if MARK not in row.data:
            yield from maker.tasks(row)
            continue
        instances = instances or InstanceRows(complaints)
        turned = instances(row)
        if turned is not None:
            yield from maker.tasks(*turned)
    notes += instances.notes if instances else ()


def _rows(path: Path, complaints: Complaints) -> Iterator[TaskRow]:
    if path.suffix.lower() == ".parquet" and os.path.isfile(path):
        return rows_parquet.rows(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path} is in no form that tasks come in: {_FORMS}")
    try:
        text = utf8(_bytes(path), file=str(path))
    except PolicyError as error:
        complaints.add(str(error.where), error.key, error.message)
        return iter(())
    return reader(text, file=str(path), complaints=complaints)


def _bytes(path: Path) -> bytes:
    try:
        if not os.path.exists(path):
            raise UsageError(f"there is no tasks file {path}")
        # A pipe or a device would be waited for without end.
        if not os.path.isfile(path):
            raise UsageError(f"the tasks file {path} is not a file")
        with path.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"the tasks file {path} can't be read: {error.strerror}") from error
    if len(raw) > MAX_FILE_BYTES:
        raise UsageError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB: make several of it")
    return raw


def _unique(tasks: Iterable[Task], complaints: Complaints) -> tuple[Task, ...]:
    seen: dict[str, Task] = {}
    for task in tasks:
        first = seen.setdefault(task.id, task)
        if first is not task:
            here, there = (
                f"{one.origin.file}:{one.origin.line}" if one.origin.line else one.origin.file
                for one in (task, first)
            )
            complaints.add(here, "id", f"{task.id!r} is there already, at {there}: rename one")
    return tuple(seen.values())
