"""A batch's database as everybody may look at it, whoever works on it.

Owns one connection, how a row becomes a value, and that a change is made as a whole. Refuses to
know what may be changed (`requests`, `store`).
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from agent.batch.attempt import AttemptResult
from agent.batch.queue import database
from agent.batch.queue.states import AttemptState, QueuedAttempt, Steering
from agent.conversation.shared_budget import BatchUsed

COLUMNS = "task, attempt, state, tries, run_id, cancelling, result"
WAITING = """
FROM attempts JOIN tasks ON id = task WHERE state = ? AND listed
ORDER BY attempts.position, attempt LIMIT
"""
_NEXT = f"SELECT {COLUMNS} {WAITING} ?"


class QueueReader:
    """For one thread."""

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
                f"SELECT {COLUMNS} FROM attempts WHERE {where} ORDER BY position, attempt",  # noqa: S608
                values,
            ).fetchall()
        return [attempt_of(row) for row in rows]

    def waiting(self, *, most: int = -1) -> list[QueuedAttempt]:
        """The attempts that are taken next; -1: all of them."""
        with database.translated(self.directory):
            rows = self._connection.execute(_NEXT, (AttemptState.WAITING, most)).fetchall()
        return [attempt_of(row) for row in rows]

    def interrupted(self) -> list[QueuedAttempt]:
        """Those that ran when the process ended that had taken them."""
        return self._attempts("state = ?", AttemptState.RUNNING)

    def steering(self) -> Steering:
        with database.translated(self.directory):
            found = dict(self._connection.execute("SELECT name, value FROM settings"))
        workers = found.get("workers")
        return Steering(paused="paused" in found, workers=None if workers is None else int(workers))

    def spent(self) -> BatchUsed:
        """What all runs used that are over, those too whose results are void."""
        with database.translated(self.directory):
            query = "SELECT coalesce(sum(usd), 0.0), coalesce(sum(tokens), 0) FROM attempts"
            usd, tokens = self._connection.execute(query).fetchone()
            query = "SELECT value FROM settings WHERE name = 'seconds'"
            (seconds,) = self._connection.execute(query).fetchone() or ("0",)
        return BatchUsed(usd=usd, tokens=tokens, seconds=float(seconds))


def attempt_of(row: tuple[str, int, str, int, str | None, int, str | None]) -> QueuedAttempt:
    """An attempt, from `COLUMNS`."""
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
