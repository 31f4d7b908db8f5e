"""Attempts in threads of this process: the SDKs are imported once, images and copies are shared."""

import threading
from collections.abc import Mapping

from agent.batch.board import Board
from agent.batch.engines.interface import Report
from agent.batch.order import AttemptOrder, WorkerServices
from agent.batch.thread_interrupts import ThreadInterrupts
from agent.batch.worker import perform
from agent.conversation.shared_budget import SharedBudget
from agent.job import OpenBox
from agent.models.rate_limit import ModelRates


class LocalEngine:
    """Fits `agent.batch.engines.interface.AttemptEngine`: a thread for each attempt."""

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        known_secrets: tuple[str, ...],
        open_box: OpenBox,
        budget: SharedBudget | None,
        rates: ModelRates,
        board: Board,
    ) -> None:
        self._environ = environ
        self._known_secrets = known_secrets
        self._open_box = open_box
        self._budget = budget
        self._rates = rates
        self._board = board
        self._lock = threading.Lock()
        self._running: dict[str, ThreadInterrupts] = {}

    def submit(self, order: AttemptOrder, report: Report) -> None:
        interrupts = ThreadInterrupts()
        with self._lock:
            self._running[order.run_id] = interrupts
        services = WorkerServices(
            environ=self._environ,
            known_secrets=self._known_secrets,
            open_box=self._open_box,
            budget=self._budget,
            rate=self._rates.of,
            interrupts=interrupts,
            show=self._board.listener(order.run_id),
        )

        def work() -> None:
            end = perform(order, services)
            with self._lock:
                del self._running[order.run_id]
            report(order, end)

        # Whoever leaves at once leaves these behind: their containers are taken up later.
        threading.Thread(target=work, name=f"attempt-{order.run_id}", daemon=True).start()

    def interrupt(self, run_id: str, name: str) -> None:
        with self._lock:
            found = self._running.get(run_id)
        if found is not None:
            found.receive(name)
            self._rates.wake()
            if self._budget is not None:
                self._budget.wake()

    def close(self) -> None:
        pass
