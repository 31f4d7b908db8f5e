"""Tasks in YAML: a list, or a mapping with ``defaults:`` and ``tasks:``.

Owns how defaults and a task become one row. The parser is the policies' own, with its refusals.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from agent.batch.task import TaskOrigin
from agent.batch.tasks.complaints import Complaints
from agent.batch.tasks.form import FILE_KEYS
from agent.batch.tasks.row import TaskRow
from policies.errors import PolicyError
from policies.file.document import Document, KeyPath, parse_list
from policies.file.fields import shown_value, unknown_key

_PLACES: Mapping[str, tuple[str, ...]] = {
    "workspace": ("git", "rev", "path"),
    "git": ("workspace", "path"),
    "path": ("workspace", "git", "rev"),
}
"""Where a task says the one itself, it takes none of the others from the defaults."""


def rows(text: str, *, file: str, complaints: Complaints) -> Iterator[TaskRow]:
    """The rows of a file, in order. What is wrong with its outline is a complaint."""
    try:
        document = parse_list(text, file=file, key="tasks", called="tasks file")
    except PolicyError as error:
        complaints.add(str(error.where), error.key, error.message)
        return
    for key in document.data:
        if key not in FILE_KEYS:
            complaints.add(str(document.keys[key,]), key, unknown_key(key, FILE_KEYS))
    defaults = document.data.get("defaults", {})
    tasks = document.data.get("tasks")
    if not isinstance(defaults, dict):
        message = f"expected a mapping, got {shown_value(defaults)}"
        complaints.add(str(document.where(("defaults",))), "defaults", message)
        defaults = {}
    if not isinstance(tasks, tuple):
        message = "is missing: list the tasks under it"
        if "tasks" in document.data:
            message = f"expected a list, got {shown_value(tasks)}"
        complaints.add(str(document.where(("tasks",))), "tasks", message)
        return
    for index, task in enumerate(tasks):
        line = document.values["tasks", index].line
        if isinstance(task, dict):
            yield TaskRow(
                data=_with_defaults(task, defaults),
                origin=TaskOrigin(file=file, line=line),
                line_of=partial(_line, document, index),
            )
        else:
            message = f"expected a mapping, got {shown_value(task)}"
            complaints.add(f"{file}:{line}", f"tasks[{index}]", message)


def _with_defaults(task: Mapping[str, Any], defaults: Mapping[str, Any]) -> Mapping[str, Any]:
    if not defaults:
        return task
    named = {other for key in task for other in _PLACES.get(key, ())}
    merged = {key: value for key, value in defaults.items() if key not in named} | dict(task)
    both = task.get("budget"), defaults.get("budget")
    if isinstance(both[0], dict) and isinstance(both[1], dict):
        merged["budget"] = both[1] | both[0]
    return merged


def _line(document: Document, index: int, path: KeyPath) -> int:
    """The line of a key of a task, or of the defaults that it comes from."""
    for start in (("tasks", index), ("defaults",)):
        whole: KeyPath = (*start, *path)
        found = document.keys.get(whole) or document.values.get(whole)
        if found is not None:
            return found.line
    return 0
