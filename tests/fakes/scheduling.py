"""A scheduler over a real queue, whose engine ends each attempt as a test says, at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from agent.batch.attempt import AttemptResult
from agent.batch.board import Board
from agent.batch.engines.interface import Report
from agent.batch.failure import Failure
from agent.batch.order import AttemptEnd, AttemptOrder
from agent.batch.plan import BatchPlan, PreparedChoices, choices_of
from agent.batch.queue.store import BatchQueue
from agent.batch.scheduler import Scheduler
from agent.batch.task import Task
from agent.batch.watching.events import AttemptEnded, BatchEvent, BatchNotice
from agent.config.instructions import Instructions
from agent.config.values import Configuration
from agent.models.pricing import UNKNOWN
from fakes.batches import a_row
from policies.policy import Policy

MODEL = "told:test"


def finished(order: AttemptOrder) -> AttemptEnd:
    return AttemptEnd(result=a_row(order.task.id, order.attempt, run_id=order.run_id))


def failed(failure: Failure, detail: str = "it failed") -> Callable[[AttemptOrder], AttemptEnd]:
    def end(order: AttemptOrder) -> AttemptEnd:
        row = a_row(
            order.task.id,
            order.attempt,
            run_id=order.run_id,
            outcome="sandbox failed",
            error_kind=failure.kind,
            detail=detail,
        )
        return AttemptEnd(result=row, failure=failure)

    return end


def interrupted(order: AttemptOrder) -> AttemptEnd:
    row = a_row(order.task.id, order.attempt, run_id=order.run_id, outcome="interrupted")
    return AttemptEnd(result=row, interrupted=True)


@dataclass
class FakeEngine:
    """Fits `agent.batch.engines.interface.AttemptEngine`."""

    end: Callable[[AttemptOrder], AttemptEnd | None] = finished
    """None: it goes on until it is told to end."""
    orders: list[AttemptOrder] = field(default_factory=list)
    interrupts: list[tuple[str, str]] = field(default_factory=list)
    """(task, name) of each."""
    _open: dict[str, tuple[AttemptOrder, Report]] = field(default_factory=dict)
    expected: list[str] = field(default_factory=list)
    """What was said last to come next."""
    most: int = 0
    """How many went on at once at the most."""

    def submit(self, order: AttemptOrder, report: Report) -> None:
        self.orders.append(order)
        end = self.end(order)
        if end is not None:
            report(order, end)
            return
        self._open[order.run_id] = order, report
        self.most = max(self.most, len(self._open))

    def interrupt(self, run_id: str, name: str) -> None:
        if run_id in self._open:
            order, report = self._open.pop(run_id)
            self.interrupts.append((order.task.id, name))
            report(order, interrupted(order))

    def finish_any(self) -> None:
        """Let one that goes on come to its end, if there is one."""
        for run_id in list(self._open)[:1]:
            order, report = self._open.pop(run_id)
            report(order, finished(order))

    def expect(self, orders: Sequence[AttemptOrder]) -> None:
        self.expected = [order.task.id for order in orders]

    def close(self) -> tuple[str, ...]:
        return ()

    @property
    def begun(self) -> list[str]:
        return [order.task.id for order in self.orders]


@dataclass
class FakeScheduling:
    """Set `engine.end`, `go` over tasks, look at what came of it."""

    store: BatchQueue
    policy: Policy
    workers: int = 1
    fail_fast: bool = False
    engine: FakeEngine = field(default_factory=FakeEngine)
    events: list[BatchEvent] = field(default_factory=list)
    on_refresh: Callable[["FakeScheduling"], None] = lambda _: None
    """Called in the scheduler's loop; a test steers here."""
    looks: int = 0

    def go(self, tasks: Sequence[Task], *, attempts: int = 1) -> Scheduler:
        self.store.enlist(tasks, attempts=attempts)
        plan = BatchPlan(
            directory=self.store.directory,
            tasks={task.id: task for task in tasks},
            prepared={
                choices_of(task): PreparedChoices(
                    policy=replace(self.policy, name=task.policy or self.policy.name),
                    model=task.model or MODEL,
                    facts=UNKNOWN,
                )
                for task in tasks
            },
            configuration=Configuration(),
            instructions=Instructions(),
            kernel_policy="require",
            accepted_risks=frozenset(),
        )
        self.scheduler = Scheduler(
            plan=plan,
            store=self.store,
            engine=self.engine,
            board=Board(),
            workers=self.workers,
            fail_fast=self.fail_fast,
            tell=self.events.append,
            refresh=self._refresh,
        )
        self.scheduler.run()
        return self.scheduler

    def _refresh(self) -> None:
        self.looks += 1
        self.on_refresh(self)

    def states(self) -> dict[str, str]:
        return {one.task_id: str(one.state) for one in self.store.all()}

    def ended(self) -> list[AttemptResult]:
        return [event.result for event in self.events if isinstance(event, AttemptEnded)]

    def notices(self) -> str:
        return "\n".join(event.text for event in self.events if isinstance(event, BatchNotice))
