"""How far a batch is, counted as it goes. For whoever shows it; reads nothing itself."""

from collections import Counter
from collections.abc import Container, Iterable

from agent.batch.attempt import AttemptResult
from agent.batch.queue.states import OPEN, AttemptState, QueuedAttempt
from agent.batch.watching.events import (
    AttemptDelayed,
    AttemptEnded,
    BatchEvent,
    QueueSteered,
)
from agent.record import outcome as outcomes
from agent.record.outcome import Finished

FINISHED = outcomes.name_of(Finished)


class Tally:
    """Mutable: of one batch. Spent is what all results together cost, those that are void too."""

    def __init__(
        self, attempts: Iterable[QueuedAttempt] = (), *, listed: Container[str] | None = None
    ) -> None:
        """Args:
        listed: ids of the tasks that are to be done; None: all. Of others counts what is over.
        """
        self._listed = listed
        self.results: dict[tuple[str, int], AttemptResult] = {}
        """The newest of each attempt that has one."""
        self._states: dict[tuple[str, int], AttemptState] = {}
        self.usd = 0.0
        self.tokens = 0
        self._know(attempts)
        for row in self.results.values():
            self._count(row)

    def hear(self, event: BatchEvent) -> None:
        match event:
            case AttemptEnded():
                self._states[event.result.task_id, event.result.attempt] = event.state
                self._take(event.result)
            case AttemptDelayed():
                self._take(event.result)
            case QueueSteered():
                self._know(event.attempts)
            case _:
                pass

    def _know(self, attempts: Iterable[QueuedAttempt]) -> None:
        for one in attempts:
            if not self._is_listed(one.task_id) and one.state in OPEN:
                continue
            self._states[one.task_id, one.attempt] = one.state
            if one.result is not None:
                self.results[one.task_id, one.attempt] = one.result

    def _take(self, result: AttemptResult) -> None:
        self.results[result.task_id, result.attempt] = result
        self._count(result)

    def _count(self, result: AttemptResult) -> None:
        self.usd += result.usd or 0.0
        self.tokens += result.input_tokens + result.output_tokens

    def _is_listed(self, task_id: str) -> bool:
        return self._listed is None or task_id in self._listed

    @property
    def total(self) -> int:
        return len(self._states)

    @property
    def over(self) -> int:
        return sum(state not in OPEN for state in self._states.values())

    def rows(self) -> list[AttemptResult]:
        """The results of attempts that are over."""
        return [row for key, row in self.results.items() if self._states.get(key) not in OPEN]

    def finished(self) -> int:
        return sum(row.outcome == FINISHED for row in self.rows())

    def failed(self) -> Counter[str]:
        """Those that are over and did not finish, by whose failure it was, or how they ended."""
        rows = [row for row in self.rows() if row.outcome != FINISHED]
        return Counter(str(row.error_kind or row.outcome) for row in rows)

    def unfinished_tasks(self) -> set[str]:
        """Tasks of which no attempt finished."""
        done = {task for (task, _), row in self.results.items() if row.outcome == FINISHED}
        return {task for task, _ in self._states if self._is_listed(task)} - done
