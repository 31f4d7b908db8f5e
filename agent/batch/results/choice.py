"""Which of a task's attempts counts, and why, in words.

An attempt that came to a patch which may be exported goes before one that did not: a patch is what
is chosen. Then decide, in this order: verification (passed, not run, failed); a second opinion
(approve, none, unsure, reject); the reward where the check gave one; whether anything changed; the
worst finding; the size of the patch; which came first. All attempts are kept. Refuses to know
files.
"""

from collections.abc import Callable, Iterable, Sequence

from agent.batch.attempt import AttemptResult
from agent.record import outcome as outcomes
from agent.record.outcome import ExportRefused
from agent.record.summary import RUNNING
from agent.risk.finding import Severity
from policies.frozen import dataclass

REFUSED = outcomes.name_of(ExportRefused)
_FINDINGS = {severity.name.lower(): severity.value for severity in Severity}
_OPINIONS = {"approve": 0, "none": 1, "unsure": 2, "reject": 3}
_WORST = max(_FINDINGS.values()) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceCriterion:
    """One thing by which attempts are compared."""

    rank: Callable[[AttemptResult], float]
    """The smaller, the better."""
    words: Callable[[AttemptResult], str]


_CRITERIA = (
    ChoiceCriterion(
        rank=lambda row: not is_exported(row),
        words=lambda row: "has a patch" if is_exported(row) else "has no patch to be exported",
    ),
    ChoiceCriterion(
        rank=lambda row: {True: 0, None: 1, False: 2}[row.verified],
        words=lambda row: {
            True: "verified",
            None: "not verified",
            False: "its verification failed",
        }[row.verified],
    ),
    ChoiceCriterion(
        rank=lambda row: _OPINIONS.get(row.opinion or "none", 1),
        words=lambda row: f"second opinion: {row.opinion or 'none'}",
    ),
    ChoiceCriterion(
        rank=lambda row: -(row.reward or 0.0),
        words=lambda row: "no reward" if row.reward is None else f"reward {row.reward:g}",
    ),
    ChoiceCriterion(
        rank=lambda row: not row.patch_bytes,
        words=lambda row: "changes something" if row.patch_bytes else "changes nothing",
    ),
    ChoiceCriterion(
        rank=lambda row: _FINDINGS.get(row.worst_finding, _WORST) if row.worst_finding else 0,
        words=lambda row: f"worst finding: {row.worst_finding or 'none'}",
    ),
    ChoiceCriterion(
        rank=lambda row: row.patch_bytes or 0,
        words=lambda row: f"a patch of {row.patch_bytes or 0} bytes",
    ),
)


def is_exported(row: AttemptResult) -> bool:
    """Whether there is a patch, empty or not, that the export gate let pass."""
    return row.patch_sha256 is not None and row.outcome != REFUSED


def chosen(rows: Sequence[AttemptResult]) -> tuple[AttemptResult, ...]:
    """The same rows, with ``chosen`` and ``reason`` set for each attempt that is over."""
    over: dict[str, list[AttemptResult]] = {}
    for row in rows:
        if row.outcome != RUNNING:
            over.setdefault(row.task_id, []).append(row)
    ranked = {task: sorted(attempts, key=_key) for task, attempts in over.items()}
    return tuple(
        row if row.outcome == RUNNING else _decided(row, ranked[row.task_id]) for row in rows
    )


def choices(rows: Iterable[AttemptResult]) -> dict[str, AttemptResult]:
    """The chosen attempt of each task, of rows that `chosen` gave."""
    return {row.task_id: row for row in rows if row.chosen}


def _key(row: AttemptResult) -> tuple[float, ...]:
    return (*(criterion.rank(row) for criterion in _CRITERIA), row.attempt)


def _decided(row: AttemptResult, ranked: Sequence[AttemptResult]) -> AttemptResult:
    if len(ranked) == 1:
        return row.replaced({"chosen": True, "reason": "the only attempt"})
    is_best = row is ranked[0]
    other = ranked[1] if is_best else ranked[0]
    telling = next((it for it in _CRITERIA if it.rank(row) != it.rank(other)), None)
    if telling is not None:
        what = "the next best" if is_best else "which is chosen"
        reason = f"{telling.words(row)}; attempt {other.attempt}, {what}: {telling.words(other)}"
    elif is_best:
        reason = f"as good as attempt {other.attempt}, and the first"
    else:
        reason = f"as good as attempt {other.attempt}, which is chosen as the first"
    return row.replaced({"chosen": is_best, "reason": reason})
