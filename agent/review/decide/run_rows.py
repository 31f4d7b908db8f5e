"""A folder's runs as rows, lean and read anew where they changed: of a batch, its attempts.

Owns where a row comes from. Refuses to know what is decided about a run.
"""

import os
import threading
from pathlib import Path

from agent.batch.queue import database
from agent.batch.queue.reading import QueueReader
from agent.batch.results.choice import chosen
from agent.errors import RecordError
from agent.record import outcome as outcomes
from agent.record.outcome import Finished
from agent.record.runs import RecordedRun, run_in
from agent.record.store import SUMMARY, runs_directory
from agent.record.summary import RUNNING
from policies.frozen import dataclass

_FINISHED = outcomes.name_of(Finished)
_UNREADABLE = "unreadable"
_SAME = (
    *("run_id", "attempt", "outcome", "verified", "worst_finding", "patch_sha256"),
    *("patch_bytes", "usd", "seconds"),
)
"""What a row of a batch's results has under the same name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run, or one attempt of a batch that has none yet. Its texts are hostile."""

    run_id: str | None
    name: str
    """The task's id in a batch; else the task's words."""
    workspace: str = ""
    """Empty in a batch, whose ids say it."""
    attempt: int = 0
    """From 1 in a batch."""
    is_chosen: bool = True
    """Of several attempts at a task, this one counts, or it is not decided yet."""
    outcome: str
    verified: bool | None = None
    worst_finding: str | None = None
    patch_sha256: str | None = None
    patch_bytes: int | None = None
    usd: float | None = None
    seconds: float = 0.0

    @property
    def words(self) -> str:
        """What a search looks through."""
        return f"{self.name} {self.run_id} {self.workspace}"

    @property
    def is_clean(self) -> bool:
        """Finished, verified, and nothing found in a patch that changes something."""
        return (
            self.outcome == _FINISHED
            and self.verified is True
            and self.worst_finding is None
            and bool(self.patch_bytes)
        )


class RunRows:
    """The rows of one folder. For any thread."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._known: dict[str, tuple[tuple[int, int], RunRow]] = {}

    @property
    def is_batch(self) -> bool:
        return database.exists(self._home)

    def rows(self) -> list[RunRow]:
        """Every row, in the order of the tasks file, or the newest first.

        Raises:
            RecordError, UsageError: the folder or its batch can't be read.
        """
        with self._lock:
            return self._of_batch() if self.is_batch else self._of_runs()

    def _of_runs(self) -> list[RunRow]:
        try:
            names = sorted(os.listdir(runs_directory(self._home)), reverse=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RecordError(f"{runs_directory(self._home)} can't be read: {error}") from error
        found = [row for name in names if (row := self._row(name)) is not None]
        self._known = {name: self._known[name] for name in names if name in self._known}
        return found

    def _row(self, name: str) -> RunRow | None:
        directory = f"{runs_directory(self._home)}/{name}"
        try:
            status = os.stat(f"{directory}/{SUMMARY}")  # two thousand paths would take their time
        except OSError:
            return None
        state = status.st_mtime_ns, status.st_size
        known = self._known.get(name)
        if known is not None and known[0] == state and known[1].outcome != RUNNING:
            return known[1]
        try:
            row = row_of(run_in(Path(directory)))
        except RecordError:  # its own page says why
            row = RunRow(run_id=name, name=name, outcome=_UNREADABLE)
        self._known[name] = state, row
        return row

    def _of_batch(self) -> list[RunRow]:
        queue = QueueReader.open(self._home)
        try:
            attempts = queue.all()
        finally:
            queue.close()
        results = chosen([it.result for it in attempts if it.result is not None])
        by_key = {(it.task_id, it.attempt): it for it in results}
        rows = []
        for attempt in attempts:
            result = by_key.get((attempt.task_id, attempt.attempt))
            if result is None:
                row = RunRow(
                    run_id=attempt.run_id,
                    name=attempt.task_id,
                    attempt=attempt.attempt,
                    outcome=str(attempt.state),
                )
            else:
                same = {name: getattr(result, name) for name in _SAME}
                is_chosen = result.chosen is not False
                row = RunRow(name=result.task_id, is_chosen=is_chosen, **same)
            rows.append(row)
        return rows


def row_of(run: RecordedRun) -> RunRow:
    summary = run.summary
    return RunRow(
        run_id=run.id,
        name=summary.task,
        workspace=summary.workspace,
        outcome=summary.outcome,
        verified=summary.verified,
        worst_finding=summary.worst_finding,
        patch_sha256=summary.patch_sha256,
        patch_bytes=summary.patch_bytes,
        usd=summary.usd,
        seconds=summary.seconds,
    )
