"""Tasks and attempts of a batch, kept so that nothing but the call in flight is lost.

Owns what may become of an attempt, and that each change is on disk before it is acted on. Several
processes may use one database: its owner (`ownership`) takes attempts and ends them, others ask for
something. Refuses to know how an attempt is made.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from agent.batch.attempt import AttemptResult
from agent.batch.queue import database
from agent.batch.queue.digest import digest_of
from agent.batch.queue.states import AttemptState, QueuedAttempt, Steering
from agent.batch.task import Task
from agent.conversation.shared_budget import BatchUsed
from agent.errors import UsageError
from policies.frozen import dataclass

_COLUMNS = "task, attempt, state, tries, run_id, cancelling, result"
_RESULT = "result = ?, usd = usd + ?, tokens = tokens + ?"
_WAITING = """
FROM attempts JOIN tasks ON id = task WHERE state = ? AND listed
ORDER BY attempts.position, attempt LIMIT
"""
_NEXT = f"SELECT {_COLUMNS} {_WAITING} ?"
_TAKE = f"""
UPDATE attempts SET state = ?, run_id = ? WHERE (task, attempt) IN (
    SELECT task, attempt {_WAITING} 1
) RETURNING {_COLUMNS}
"""  # noqa: S608 - texts of this module


@dataclass(frozen=True, slots=True, kw_only=True)
class Enlisted:
    """What a tasks file was to a database that may have seen it before."""

    added: int
    gone: tuple[str, ...]
    """Ids of tasks that the file does not hold any more; what was done of them is kept."""


class BatchQueue:
    """One connection. For one thread."""

    def __init__(self, directory: Path, connection: sqlite3.Connection) -> None:
        self.directory = directory
        self._connection = connection
        self._seen = -1

    @classmethod
    def open(cls, directory: Path, *, create: bool = False) -> Self:
        """Args:
            create: make an empty one where there is none.

        Raises:
            UsageError, RecordError: as `database.opened`.
        """
        if create and not database.exists(directory):
            database.create(directory)
        return cls(directory, database.opened(directory))

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing. Raises RecordError where the disk is full, or the file is gone."""
        with database.translated(self.directory):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    # -- the tasks file ---------------------------------------------------------------------

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

    # -- what its owner does ----------------------------------------------------------------

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

    def waiting(self, *, most: int = -1) -> list[QueuedAttempt]:
        """The attempts that are taken next; -1: all of them."""
        with database.translated(self.directory):
            rows = self._connection.execute(_NEXT, (AttemptState.WAITING, most)).fetchall()
        return [_attempt(row) for row in rows]

    def interrupted(self) -> list[QueuedAttempt]:
        """Those that ran when the process ended that had taken them."""
        return self._attempts("state = ?", AttemptState.RUNNING)

    def take(self, run_id: str) -> QueuedAttempt | None:
        """The next attempt that waits, which runs from now on; None: none waits."""
        with self._transaction() as connection:
            row = connection.execute(
                _TAKE, (AttemptState.RUNNING, run_id, AttemptState.WAITING)
            ).fetchone()
        return None if row is None else _attempt(row)

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

    # -- what others ask for ----------------------------------------------------------------

    def steering(self) -> Steering:
        with database.translated(self.directory):
            found = dict(self._connection.execute("SELECT name, value FROM settings"))
        workers = found.get("workers")
        return Steering(paused="paused" in found, workers=None if workers is None else int(workers))

    def pause(self) -> None:
        """Ask that no further task is begun."""
        self._keep("paused", "")

    def resume(self) -> None:
        """Ask that tasks are begun again."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM settings WHERE name = 'paused'")

    def employ(self, workers: int | None) -> None:
        """Ask for so many tasks at once; None: as the command says that the owner began with."""
        if workers is not None:
            self._keep("workers", str(workers))
            return
        with self._transaction() as connection:
            connection.execute("DELETE FROM settings WHERE name = 'workers'")

    def worked(self, seconds: float) -> None:
        """Say for how long the batch was worked on."""
        self._keep("seconds", str(seconds))

    def _keep(self, name: str, value: str) -> None:
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def spent(self) -> BatchUsed:
        """What all runs used that are over, those too whose results are void."""
        with database.translated(self.directory):
            query = "SELECT coalesce(sum(usd), 0.0), coalesce(sum(tokens), 0) FROM attempts"
            usd, tokens = self._connection.execute(query).fetchone()
            query = "SELECT value FROM settings WHERE name = 'seconds'"
            (seconds,) = self._connection.execute(query).fetchone() or ("0",)
        return BatchUsed(usd=usd, tokens=tokens, seconds=float(seconds))

    def began(self) -> datetime:
        """When the batch was first started; now, where it is."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO settings VALUES ('began', ?)", (now,))
            query = "SELECT value FROM settings WHERE name = 'began'"
            (began,) = connection.execute(query).fetchone()
        return datetime.fromisoformat(began)

    def cancel(self, task_id: str | None) -> tuple[int, int]:
        """End what waits, and ask for what runs to end; of one task, or of all.

        Gives how many attempts were cancelled, and how many will be.

        Raises:
            UsageError: there is no such task.
        """
        self._require(task_id)
        values = {"task": task_id, "to": AttemptState.CANCELLED, "running": AttemptState.RUNNING}
        with self._transaction() as connection:
            waiting = connection.execute(
                "UPDATE attempts SET state = :to WHERE (:task IS NULL OR task = :task) "
                "AND state IN ('waiting', 'delayed', 'stopped')",
                values,
            ).rowcount
            running = connection.execute(
                "UPDATE attempts SET cancelling = 1 WHERE (:task IS NULL OR task = :task) "
                "AND state = :running",
                values,
            ).rowcount
        return waiting, running

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

    # -- looking ----------------------------------------------------------------------------

    def changed(self) -> bool:
        """Whether another process wrote since this was asked last."""
        with database.translated(self.directory):
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        before, self._seen = self._seen, int(version)
        return before != self._seen

    def get(self, task_id: str, attempt: int) -> QueuedAttempt:
        (found,) = self._attempts("task = ? AND attempt = ?", task_id, attempt)
        return found

    def cancelling(self) -> list[QueuedAttempt]:
        """Running ones that somebody wants to end."""
        return self._attempts("state = ? AND cancelling", AttemptState.RUNNING)

    def all(self) -> list[QueuedAttempt]:
        """Every attempt, in the order of the tasks file."""
        return self._attempts("?", 1)

    def counts(self) -> dict[AttemptState, int]:
        with database.translated(self.directory):
            rows = self._connection.execute("SELECT state, count(*) FROM attempts GROUP BY state")
            return {AttemptState(state): count for state, count in rows}

    def _attempts(self, where: str, *values: object) -> list[QueuedAttempt]:
        with database.translated(self.directory):
            # `where` is a text of this module, never another's.
            rows = self._connection.execute(
                f"SELECT {_COLUMNS} FROM attempts WHERE {where} ORDER BY position, attempt",  # noqa: S608
                values,
            ).fetchall()
        return [_attempt(row) for row in rows]


def _spent(result: AttemptResult) -> tuple[str, float, int]:
    tokens = result.input_tokens + result.output_tokens
    return json.dumps(result.json_object()), result.usd or 0.0, tokens


def _attempt(row: tuple[str, int, str, int, str | None, int, str | None]) -> QueuedAttempt:
    task, attempt, state, tries, run_id, cancelling, result = row
    what = f"the result of task {task}"
    return QueuedAttempt(
        task_id=task,
        attempt=attempt,
        state=AttemptState(state),
        tries=tries,
        run_id=run_id,
        cancelling=bool(cancelling),
        result=None if result is None else AttemptResult.read(json.loads(result), what),
    )
