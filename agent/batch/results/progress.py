"""How a batch went on in time: when tasks were done and money was spent, by its rows."""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import accumulate

from agent.batch.attempt import AttemptResult
from agent.record.summary import RUNNING


def done(rows: Iterable[AttemptResult], began: datetime) -> list[tuple[float, float]]:
    """Seconds since the beginning at which a task's last attempt ended, and how many were done."""
    last: dict[str, float] = {}
    for row in rows:
        at = _ended_s(row, began)
        if at is not None:
            last[row.task_id] = max(at, last.get(row.task_id, 0.0))
    return [(at, float(count)) for count, at in enumerate(sorted(last.values()), 1)]


def costs(rows: Iterable[AttemptResult], began: datetime) -> list[tuple[float, float]]:
    """Seconds since the beginning, and the dollars that were spent by then."""
    spent = sorted(
        (at, row.usd)
        for row in rows
        if row.usd is not None and (at := _ended_s(row, began)) is not None
    )
    sums = accumulate(usd for _, usd in spent)
    return [(at, total) for (at, _), total in zip(spent, sums, strict=True)]


def _ended_s(row: AttemptResult, began: datetime) -> float | None:
    """When an attempt ended; a clock that was set back makes it no earlier than the beginning."""
    if row.outcome == RUNNING:
        return None
    try:
        started = datetime.fromisoformat(row.started)
    except ValueError:
        return None
    started = started if started.tzinfo is not None else started.replace(tzinfo=UTC)
    return max(0.0, (started - began).total_seconds() + row.seconds)
