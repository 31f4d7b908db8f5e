"""The files of results, kept up to date while the batch goes on, and out of its way."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from agent.batch.attempt import AttemptResult
from agent.batch.results.writing import write_all
from agent.batch.task import Task
from agent.errors import RecordError
from sandbox.threads import Background

_EVERY_S = 10.0
_SHARE = 20
"""Writing takes a twentieth of the time at most."""


class ResultFiles:
    """Mutable: of one batch."""

    def __init__(self, directory: Path, tasks: Sequence[Task], *, began: datetime) -> None:
        self._directory = directory
        self._tasks = tasks
        self._began = began
        self._due_s = time.monotonic() + _EVERY_S
        self._going: Background[None] | None = None

    def keep_up(self, newest: Callable[[], Sequence[AttemptResult]]) -> None:
        """Write them in a thread, if it is time to and none does. What fails is written later."""
        if time.monotonic() < self._due_s or (self._going is not None and self._going.is_alive()):
            return
        self._due_s = float("inf")
        rows = newest()

        def write() -> None:
            begun = time.monotonic()
            with suppress(RecordError):  # the last time says so
                write_all(self._directory, self._tasks, rows, began=self._began)
            took = time.monotonic() - begun
            self._due_s = time.monotonic() + max(_EVERY_S, took * _SHARE)

        self._going = Background(write, name="results")
        self._going.begin()

    def finish(self, rows: Sequence[AttemptResult]) -> tuple[str, ...]:
        """Write them for the last time; gives what a person should be told.

        Raises:
            RecordError: one can't be written.
        """
        if self._going is not None:
            self._going.wait()
        return write_all(self._directory, self._tasks, rows, began=self._began)
