"""Tasks and attempts of a batch, kept so that nothing but the call in flight is lost.

Owns what may become of an attempt, and that each change is on disk before it is acted on. Several
processes may use one database: its owner (`ownership`) takes attempts and ends them, others ask for
something. Refuses to know how an attempt is made.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from agent.batch.attempt import AttemptResult
from agent.batch.queue.digest import digest_of
from agent.batch.queue.reading import COLUMNS, WAITING, attempt_of
from agent.batch.queue.requests import QueueRequests
from agent.batch.queue.states import AttemptState, QueuedAttempt
from agent.batch.task import Task
from agent.errors import UsageError
from policies.frozen import dataclass

_RESULT = "result = ?, usd = usd + ?, tokens = tokens + ?"
_TAKE = f"""
UPDATE attempts SET state = ?, run_id = ? WHERE (task, attempt) IN (
    SELECT task, attempt {WAITING} 1
) RETURNING {COLUMNS}
"""  # noqa: S608 - texts of these modules


@dataclass(frozen=True, slots=True, kw_only=True)
class Enlisted:
    """What a tasks file was to a database that may have seen it before."""

    added: int
    gone: tuple[str, ...]
    """Ids of tasks that the file does not hold any more; what was done of them is kept."""


class BatchQueue(QueueRequests):
    """One connection. For one thread."""

    def enlist(self, tasks: Sequence[Task], *, attempts: int) -> Enlisted:
        """Take in what is new, and begin again what was stopped.

        Args:
            attempts: for a task that does not say how many.

        Raises:
            UsageError: a task is not what it was when it was taken in.
        """
        digests = {task.id: digest_of(task) for task in tasks}
        with self._transaction() as connection:
            known = dict(connection.execute("SELECT id, digest FROM tasks"))
            for task in tasks:
                if known.get(task.id, digests[task.id]) != digests[task.id]:
                    where = f"{task.origin.file}:{task.origin.line}"
                    raise UsageError(
                        f"{where}: task {task.id} is not what it was when {self.directory} took it "
                        "in: give it another id, or name another folder with -o"
                    )
            connection.execute("UPDATE tasks SET listed = 0")
            connection.executemany(
                "INSERT INTO tasks (id, position, digest) VALUES (?, ?, ?) ON CONFLICT (id) "
                "DO UPDATE SET position = excluded.position, listed = 1",
                [(task.id, place, digests[task.id]) for place, task in enumerate(tasks)],
            )
            connection.executemany(
                "INSERT INTO attempts (task, attempt, position, state) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (task, attempt) DO UPDATE SET position = excluded.position",
                [
                    (task.id, number, place, AttemptState.WAITING)
                    for place, task in enumerate(tasks)
                    for number in range(1, (task.attempts or attempts) + 1)
                ],
            )
            connection.execute(
                "UPDATE attempts SET state = ?, tries = 0 WHERE state IN (?, ?) AND task IN "
                "(SELECT id FROM tasks WHERE listed)",
                (AttemptState.WAITING, AttemptState.STOPPED, AttemptState.DELAYED),
            )
            gone = connection.execute("SELECT id FROM tasks WHERE NOT listed ORDER BY position")
            names = tuple(row[0] for row in gone)
        return Enlisted(added=len(digests.keys() - known.keys()), gone=names)

    def stop(self, results: Sequence[AttemptResult]) -> None:
        """Attempts that wait are left for the next start."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE attempts SET state = ?, result = ? WHERE task = ? AND attempt = ?",
                [
                    (AttemptState.STOPPED, _spent(row)[0], row.task_id, row.attempt)
                    for row in results
                ],
            )

    def take(self, run_id: str) -> QueuedAttempt | None:
        """The next attempt that waits, which runs from now on; None: none waits."""
        with self._transaction() as connection:
            row = connection.execute(
                _TAKE, (AttemptState.RUNNING, run_id, AttemptState.WAITING)
            ).fetchone()
        return None if row is None else attempt_of(row)

    def begin_again(self, one: QueuedAttempt, run_id: str, before: AttemptResult) -> QueuedAttempt:
        """A running attempt gets another run. `before`: what the one before came to."""
        self._set(one, f"{_RESULT}, run_id = ?", *_spent(before), run_id)
        return replace(one, run_id=run_id)

    def ended(self, one: QueuedAttempt, state: AttemptState, result: AttemptResult) -> None:
        """An attempt is over."""
        self._set(one, f"{_RESULT}, state = ?, cancelling = 0", *_spent(result), state)

    def delay(self, one: QueuedAttempt, result: AttemptResult, *, counts: bool = True) -> None:
        """An attempt failed by no fault of the agent, and waits to be tried again.

        Args:
            counts: it was one of the tries that it has.
        """
        what = f"{_RESULT}, state = ?, tries = tries + ?"
        self._set(one, what, *_spent(result), AttemptState.DELAYED, int(counts))

    def wait_no_more(self, task_id: str, attempt: int) -> None:
        """A delayed attempt may be taken."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE attempts SET state = ? WHERE task = ? AND attempt = ? AND state = ?",
                (AttemptState.WAITING, task_id, attempt, AttemptState.DELAYED),
            )

    def _set(self, one: QueuedAttempt, what: str, *values: object) -> None:
        with self._transaction() as connection:
            statement = f"UPDATE attempts SET {what} WHERE task = ? AND attempt = ?"  # noqa: S608
            connection.execute(statement, (*values, one.task_id, one.attempt))

    def worked(self, seconds: float) -> None:
        """Say for how long the batch was worked on."""
        self._keep("seconds", str(seconds))

    def began(self) -> datetime:
        """When the batch was first started; now, where it is."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO settings VALUES ('began', ?)", (now,))
            query = "SELECT value FROM settings WHERE name = 'began'"
            (began,) = connection.execute(query).fetchone()
        return datetime.fromisoformat(began)


def _spent(result: AttemptResult) -> tuple[str, float, int]:
    tokens = result.input_tokens + result.output_tokens
    return json.dumps(result.json_object()), result.usd or 0.0, tokens
