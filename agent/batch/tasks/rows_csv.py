"""Tasks in CSV: the first line names the keys, an empty cell says nothing.

Owns what a cell becomes: text; for ``attempts`` and the budget, what it is in JSON where it is
that. A budget stands in one cell as JSON, or in cells of its own: ``budget.usd``.
"""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from agent.batch.task import TaskOrigin
from agent.batch.tasks.complaints import Complaints
from agent.batch.tasks.form import BUDGET_KEYS, ENTRY_KEYS
from agent.batch.tasks.row import TaskRow
from agent.batch.tasks.swebench import MARK
from policies.file.fields import unknown_key

_CELL_LIMIT = 1 << 26
_COLUMNS = (*ENTRY_KEYS, *(f"budget.{name}" for name in BUDGET_KEYS))


def rows(text: str, *, file: str, complaints: Complaints) -> Iterator[TaskRow]:
    """The rows below the first, blank lines left out."""
    csv.field_size_limit(_CELL_LIMIT)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        names = [name.strip() for name in next(reader, [])]
        if not _named(names, file, complaints):
            return
        line = reader.line_num + 1
        for cells in reader:
            if any(cells):
                if len(cells) == len(names):
                    yield TaskRow(data=_data(names, cells), origin=TaskOrigin(file=file, line=line))
                else:
                    message = f"has {len(cells)} cells, and the first line names {len(names)} keys"
                    complaints.add(f"{file}:{line}", "", message)
            line = reader.line_num + 1
    except csv.Error as error:
        complaints.add(f"{file}:{line}", "", f"not CSV: {error}")


def _named(names: list[str], file: str, complaints: Complaints) -> bool:
    """Whether rows can be read by these names."""
    if not any(names):
        complaints.add(f"{file}:1", "", "the first line names the keys: id,workspace,task")
        return False
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            complaints.add(f"{file}:1", name, "this key is there twice")
    for name in () if MARK in names else names:
        if name not in _COLUMNS:
            complaints.add(f"{file}:1", name, unknown_key(name, _COLUMNS))
    return not complaints


def _data(names: list[str], cells: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    budget: dict[str, Any] = {}
    for name, cell in zip(names, cells, strict=True):
        if not cell.strip():
            continue
        section, _, key = name.partition(".")
        if section == "budget" and key:
            budget[key] = _value(cell)
        else:
            found[name] = _value(cell) if name in {"attempts", "budget"} else cell
    if budget:
        whole = found.get("budget", {})
        found["budget"] = whole | budget if isinstance(whole, dict) else whole
    return found


def _value(cell: str) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell.strip()
