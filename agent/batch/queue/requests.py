"""What anybody may ask of a batch, from any terminal: its owner sees it in the database.

Owns what may be asked in which state. What waits is changed at once; what runs is its owner's.
"""

import json

from agent.batch.attempt import AttemptResult
from agent.batch.queue.reading import QueueReader
from agent.batch.queue.states import AttemptState
from agent.errors import UsageError


class QueueRequests(QueueReader):
    """For one thread."""

    def pause(self) -> None:
        """Ask that no further task is begun."""
        self._keep("paused", "")

    def resume(self) -> None:
        """Ask that tasks are begun again."""
        self._keep("paused", None)

    def employ(self, workers: int | None) -> None:
        """Ask for so many tasks at once; None: as the command says that the owner began with."""
        self._keep("workers", None if workers is None else str(workers))

    def _keep(self, name: str, value: str | None) -> None:
        with self._transaction() as connection:
            connection.execute("DELETE FROM settings WHERE name = ?", (name,))
            if value is not None:
                connection.execute("INSERT INTO settings VALUES (?, ?)", (name, value))

    def cancel(self, task_id: str | None) -> tuple[int, int]:
        """End what waits, and ask for what runs to end; of one task, or of all.

        Gives how many attempts were cancelled, and how many will be.

        Raises:
            UsageError: there is no such task.
        """
        self._require(task_id)
        values = {"task": task_id, "running": AttemptState.RUNNING}
        with self._transaction() as connection:
            found = connection.execute(
                "SELECT task, attempt FROM attempts WHERE (:task IS NULL OR task = :task) "
                "AND state IN ('waiting', 'delayed', 'stopped')",
                values,
            ).fetchall()
            connection.executemany(
                "UPDATE attempts SET state = ?, result = coalesce(result, ?) "
                "WHERE task = ? AND attempt = ?",
                [
                    (AttemptState.CANCELLED, json.dumps(cancelled(*key).json_object()), *key)
                    for key in found
                ],
            )
            running = connection.execute(
                "UPDATE attempts SET cancelling = 1 WHERE (:task IS NULL OR task = :task) "
                "AND state = :running",
                values,
            ).rowcount
        return len(found), running

    def retry(self, task_id: str | None) -> int:
        """Let what did not come to its end begin again; gives how many attempts.

        Of one task those too that the agent failed; of all only those that it did not.

        Raises:
            UsageError: there is no such task.
        """
        self._require(task_id)
        with self._transaction() as connection:
            return connection.execute(
                "UPDATE attempts SET state = :to, tries = 0, cancelling = 0 "
                "WHERE (:task IS NULL OR task = :task) AND (state IN "
                "('set aside', 'cancelled', 'stopped', 'delayed') OR (:task IS NOT NULL AND "
                "state = 'done' AND json_extract(result, '$.error_kind') IS NOT NULL))",
                {"task": task_id, "to": AttemptState.WAITING},
            ).rowcount

    def _require(self, task_id: str | None) -> None:
        if task_id is None or self._attempts("task = ?", task_id):
            return
        raise UsageError(
            f"no task {task_id!r:.100} in {self.directory}: `moonpool batch status "
            f"{self.directory} --json` names those there are"
        )


def cancelled(task: str, attempt: int) -> AttemptResult:
    """The row of one that is not begun."""
    outcome = str(AttemptState.CANCELLED)
    return AttemptResult(task_id=task, attempt=attempt, run_id=None, outcome=outcome)
