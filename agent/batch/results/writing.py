"""Every file that says what a batch came to, each replaced as a whole.

    results.jsonl   a row an attempt
    preds.jsonl     the chosen patches in SWE-bench's form, a row a line
    preds.json      the same, by instance
    junit.xml       a test case a task
    summary.html    for a person

Owns the names and the order. Costs time in proportion to all rows: to be called when the batch
ends or stops, and seldom between.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from agent.batch.attempt import AttemptResult
from agent.batch.results import junit, page
from agent.batch.results.choice import choices, chosen
from agent.batch.results.page import BatchSummary
from agent.batch.results.predictions import Predictions
from agent.batch.task import Task
from agent.errors import RecordError
from agent.untrusted_text import one_line
from sandbox.cache import write_pieces_atomically

RESULTS = "results.jsonl"
PREDS_JSON = "preds.json"
PREDS_LINES = "preds.jsonl"
JUNIT = "junit.xml"
SUMMARY_PAGE = "summary.html"


def write_all(
    directory: Path, tasks: Sequence[Task], rows: Sequence[AttemptResult], *, began: datetime
) -> tuple[str, ...]:
    """Write them; gives what a person should be told, hostile text made visible.

    Args:
        directory: the batch's folder, in which its runs are.
        rows: in any order; which of them counts is decided here.
        began: when the batch was first started.

    Raises:
        RecordError: one can't be written. The ones before it are, and the old one stands.
    """
    order = {task.id: number for number, task in enumerate(tasks)}
    last = len(order)
    rows = sorted(
        chosen(rows), key=lambda row: (order.get(row.task_id, last), row.task_id, row.attempt)
    )
    best = choices(rows)
    preds = Predictions(directory, tasks, best)
    _write(directory / PREDS_LINES, preds.lines())
    _write(directory / PREDS_JSON, preds.mapping(directory / PREDS_LINES))
    notes = preds.notes
    rows = [
        row.replaced({"note": notes.get(row.task_id, "") if row.chosen else ""}) for row in rows
    ]
    _write(directory / RESULTS, _lines(rows))
    best = choices(rows)
    _write(directory / JUNIT, junit.pieces(directory, began, tasks, best, notes))
    summary = BatchSummary(name=directory.name, began=began, tasks=tasks, rows=rows, choices=best)
    _write(directory / SUMMARY_PAGE, page.pieces(summary))
    return tuple(f"{one_line(task)}: {note}" for task, note in notes.items())


def _lines(rows: Iterable[AttemptResult]) -> Iterator[bytes]:
    for row in rows:
        yield json.dumps(row.json_object()).encode() + b"\n"


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    try:
        write_pieces_atomically(path, pieces)
    except OSError as error:
        raise RecordError(
            f"{path} can't be written: {error.strerror}; what the batch came to is still in its "
            "database: make room, and give the same command again"
        ) from error
