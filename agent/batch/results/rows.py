"""A run as a row of ``results.jsonl``: what its run.json says, and nothing else.

Refuses to know whose failure it was (the caller says it) and which attempt is chosen
(`agent.batch.results.choice`).
"""

import re
from pathlib import Path

from agent.batch.attempt import AttemptResult, ErrorKind
from agent.batch.task import Task
from agent.record.runs import run_in
from agent.record.store import runs_directory
from agent.record.summary import RunSummary
from agent.risk.opinion import NoOpinion, Opinion
from agent.verification import Failed, Verified

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def run_of(row: AttemptResult, directory: Path) -> Path | None:
    """The directory of an attempt's run in the batch's folder; no other name leads anywhere."""
    if row.run_id is None or not _PLAIN_NAME.fullmatch(row.run_id):
        return None
    return runs_directory(directory) / row.run_id


def attempt_row(
    task: Task,
    attempt: int,
    directory: Path,
    run: Path,
    *,
    error_kind: ErrorKind | None = None,
) -> AttemptResult:
    """What one attempt came to, by its run's directory.

    Args:
        attempt: from 1.
        directory: the batch's folder, from which the patch's path is told.
        error_kind: whose failure it was; None where it was none.

    Raises:
        RecordError: the run's summary can't be read.
    """
    recorded = run_in(run)
    summary = recorded.summary
    return AttemptResult(
        task_id=task.id,
        attempt=attempt,
        run_id=recorded.id,
        outcome=summary.outcome,
        error_kind=error_kind,
        detail=summary.detail_line,
        verified=summary.verified,
        reward=_reward(summary),
        opinion=_opinion(summary),
        patch=_patch(summary, directory, run),
        patch_sha256=summary.patch_sha256,
        patch_bytes=summary.patch_bytes,
        worst_finding=summary.worst_finding,
        model=summary.model,
        turns=summary.turns,
        input_tokens=summary.tokens.all_input,
        output_tokens=summary.tokens.output_tokens,
        usd=summary.usd,
        seconds=summary.seconds,
        started=summary.started,
    )


def _reward(summary: RunSummary) -> float | None:
    checked = summary.verification
    return checked.reward if isinstance(checked, Verified | Failed) else None


def _opinion(summary: RunSummary) -> str | None:
    match summary.opinion:
        case None:
            return None
        case Opinion(verdict=verdict):
            return str(verdict)
        case NoOpinion():
            return "none"


def _patch(summary: RunSummary, directory: Path, run: Path) -> str | None:
    if summary.patch is None:
        return None
    # A run that another machine made has its path there, and its files here.
    path = run / Path(summary.patch).name
    if path.is_file() and path.is_relative_to(directory):
        return str(path.relative_to(directory))
    return summary.patch
