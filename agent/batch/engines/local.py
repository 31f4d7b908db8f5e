"""Attempts in threads of this process: the SDKs are imported once, images and copies are shared."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

from agent.batch.board import Board
from agent.batch.engines.interface import Report
from agent.batch.order import AttemptEnd, AttemptOrder, WorkerServices
from agent.batch.task import FolderWorkspace, ImageWorkspace
from agent.batch.thread_interrupts import ThreadInterrupts
from agent.batch.worker import job_of, not_done, perform
from agent.conversation.shared_budget import SharedBudget
from agent.lifecycle.job import Job, OnProgress
from agent.models.rate_limit import ModelRates
from agent.tools.sandbox_protocol import SandboxProtocol
from sandbox.errors import SandboxError, WorkspaceError
from sandbox.workspace.source import Workspace, folder

if TYPE_CHECKING:
    from agent.observe.otlp import TelemetrySettings


class BoxSupply(Protocol):
    """Where sandboxes come from: `agent.batch.sandbox_pool.SandboxPool`, or a test's."""

    def open_box(self, job: Job, on_progress: OnProgress, /) -> SandboxProtocol: ...
    def expect(self, job: Job, count: int, /) -> None: ...
    def close(self) -> tuple[str, ...]: ...


class _Like(NamedTuple):
    """What orders have in common that work in sandboxes of one kind."""

    place: Workspace
    policy: int
    """Which value it is: those of one plan are one where they are equal."""


def _like(order: AttemptOrder) -> _Like | None:
    """None where the workspace is to be got or found first."""
    match order.task.workspace:
        case FolderWorkspace(path=path):
            return _Like(path, id(order.policy))
        case ImageWorkspace(path=str(inside)):
            with suppress(WorkspaceError):  # the run says it
                return _Like(folder(inside), id(order.policy))
    return None


class LocalEngine:
    """Fits `agent.batch.engines.interface.AttemptEngine`: a thread for each attempt."""

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        known_secrets: tuple[str, ...],
        boxes: BoxSupply,
        budget: SharedBudget | None,
        rates: ModelRates,
        board: Board,
        telemetry: "TelemetrySettings | None" = None,
        sweep: Callable[[], None] = lambda: None,
    ) -> None:
        """Args:
        sweep: removes in the end what runs left that are over.
        """
        self._environ = environ
        self._known_secrets = known_secrets
        self._boxes = boxes
        self._budget = budget
        self._rates = rates
        self._board = board
        self._telemetry = telemetry
        self._sweep = sweep
        self._lock = threading.Lock()
        self._running: dict[str, ThreadInterrupts] = {}
        self._unopened: dict[str, _Like] = {}
        """Runs that have not asked for their sandbox yet, of those that may find one ready."""
        self._expected: dict[_Like, Job] = {}

    def submit(self, order: AttemptOrder, report: Report) -> None:
        interrupts = ThreadInterrupts()
        like = _like(order)
        with self._lock:
            self._running[order.run_id] = interrupts
            if like is not None and not order.take_up:
                self._unopened[order.run_id] = like
        services = WorkerServices(
            environ=self._environ,
            known_secrets=self._known_secrets,
            open_box=self._open_box,
            budget=self._budget,
            rate=self._rates.of,
            interrupts=interrupts,
            show=self._board.listener(order.run_id),
            telemetry=self._telemetry,
        )

        def ended(end: AttemptEnd) -> None:
            with self._lock:
                del self._running[order.run_id]
                self._unopened.pop(order.run_id, None)
            report(order, end)

        # Whoever leaves at once leaves these behind: their containers are taken up later.
        thread = threading.Thread(
            target=lambda: ended(perform(order, services)),
            name=f"attempt-{order.run_id}",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError as error:
            # As many as this machine lets one process have: it is tried again later.
            ended(not_done(order, SandboxError(f"no thread for it: {error}; use fewer by -j")))

    def _open_box(self, job: Job, on_progress: OnProgress) -> SandboxProtocol:
        try:
            return self._boxes.open_box(job, on_progress)
        finally:
            with self._lock:
                self._unopened.pop(job.run_id, None)

    def expect(self, orders: Sequence[AttemptOrder]) -> None:
        """See `AttemptEngine.expect`. What is to be got or found first is not made ready."""
        jobs: dict[_Like, Job] = {}
        with self._lock:
            counts = Counter(self._unopened.values())
        for order in orders:
            like = _like(order)
            if like is not None:
                counts[like] += 1
                jobs[like] = self._expected.get(like) or job_of(order, like.place, self._environ)
        for like, job in self._expected.items():
            if like not in jobs:
                self._boxes.expect(job, counts[like])
        for like, job in jobs.items():
            self._boxes.expect(job, counts[like])
        self._expected = jobs

    def interrupt(self, run_id: str, name: str) -> None:
        with self._lock:
            found = self._running.get(run_id)
        if found is not None:
            found.receive(name)
            self._rates.wake()
            if self._budget is not None:
                self._budget.wake()

    def close(self) -> tuple[str, ...]:
        left = self._boxes.close()
        # A container whose patch could not be made, as when the engine was away, still stands.
        with suppress(SandboxError):
            self._sweep()
        return left
