"""Which attempt is begun when, and what becomes of it when it ends.

Owns the loop of the main thread: it takes from the queue, gives to an engine, and writes down what
comes back before it acts on it. Refuses to know how an attempt is made (`worker`), where
(`engines`) and what a person sees (`watching`).
"""

import heapq
import queue
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from agent.batch.attempt import AttemptResult, ErrorKind
from agent.batch.board import Board
from agent.batch.disposition import BegunAgain, Postponed, Settled, dispose
from agent.batch.engines.interface import AttemptEngine
from agent.batch.failure import Failure, SharedBy
from agent.batch.order import AttemptEnd, AttemptOrder
from agent.batch.plan import BatchPlan
from agent.batch.queue.requests import cancelled
from agent.batch.queue.states import AttemptState, QueuedAttempt
from agent.batch.queue.store import BatchQueue
from agent.batch.shared_failures import SharedFailures
from agent.batch.stopping import WORDS, Stopping
from agent.batch.take_up import abandoned
from agent.batch.watching.events import (
    AttemptBegun,
    AttemptDelayed,
    AttemptEnded,
    BatchEvent,
    BatchNotice,
    QueueSteered,
)
from agent.errors import RecordError
from agent.record.store import new_run_id
from policies.errors import duration

_ENGINE_PATIENCE_S = 1800.0
"""For how long an engine that does not answer is awaited, as when it starts again."""
_NO_ENGINE = "no container engine answers: one task at a time finds out whether it is back,"
_PAUSED = "paused: no further task is begun before `moonpool batch resume {}`"
_LOOK_S = 0.25
"""How often what others wrote to the database is looked for."""
_UNWRITTEN_S = 60.0
"""How long a database that can't be written is tried again once nothing runs any more."""


class Scheduler:
    """Mutable: one to a process. For the main thread; a signal's handler may call `stop`."""

    def __init__(
        self,
        *,
        plan: BatchPlan,
        store: BatchQueue,
        engine: AttemptEngine,
        board: Board,
        workers: int,
        fail_fast: bool,
        tell: Callable[[BatchEvent], None],
        refresh: Callable[[], None],
    ) -> None:
        """Args:
        workers: how many tasks run at once, where nobody asks for another number.
        fail_fast: nothing more is begun once a task has failed.
        tell: hears what happens.
        refresh: called some times a second.
        """
        self._plan = plan
        self._store = store
        self._engine = engine
        self._board = board
        self._usual_workers = workers
        self._fail_fast = fail_fast
        self._tell = tell
        self._refresh = refresh
        self._inbox: queue.SimpleQueue[tuple[AttemptOrder, AttemptEnd] | None] = queue.SimpleQueue()
        self._running: dict[str, QueuedAttempt] = {}
        self._delayed: list[tuple[float, str, int]] = []
        self._unwritten: list[Callable[[], None]] = []
        self._shared = SharedFailures()
        self._left: deque[QueuedAttempt] = deque()
        """What a process left that ended; taken up before anything new is begun."""
        self._looked = False
        self._idle = False
        self._closed = False
        self._engine_gone_s: float | None = None
        """Since when the engine has not answered anybody."""
        self._engine_missed: dict[tuple[str, int], bool] = {}
        """Attempts that it did not answer; and whether it has answered others since."""
        self._trouble_since_s: float | None = None
        self.workers = workers
        self.paused = False
        self.stopping = Stopping.NOT
        self.trouble = ""
        """Why the database could not be written, as long as it can't."""

    # -- from outside -----------------------------------------------------------------------

    def stop(self, how: Stopping) -> None:
        """Say that there is less to be done than there was."""
        if how.value > self.stopping.value:
            self.stopping = how
        self._inbox.put(None)

    def run(self) -> None:
        """Until nothing is left to be done, or `stop` was called and what ran has ended."""
        for one in self._store.interrupted():
            if one.task_id in self._plan.tasks:
                self._left.append(one)
            else:
                row = abandoned(one, self._plan.directory)
                self._write(one, AttemptState.STOPPED, row)
        told = Stopping.NOT
        while self.stopping is not Stopping.DROPPED:
            if told is not self.stopping:
                told = self.stopping
                self._interrupt_all()
            for work in (self._write_out, self._steer, self._fill):
                self._guarded(work)
            self._refresh()
            if self._is_over():
                return
            self._hear()

    def _is_over(self) -> bool:
        if self._running:
            return False
        if self._trouble_since_s is not None:
            # Whoever makes room in time loses nothing; what can't be written is taken up later.
            return time.monotonic() - self._trouble_since_s > _UNWRITTEN_S
        stopped = self._closed or self.stopping is not Stopping.NOT
        return stopped or (self._idle and not self._delayed and not self._left)

    def _hear(self) -> None:
        try:
            message = self._inbox.get(timeout=_LOOK_S)
        except queue.Empty:
            return
        if message is not None:
            self._ended(*message)

    # -- taking -----------------------------------------------------------------------------

    def _fill(self) -> None:
        self._idle = False
        while self._delayed and self._delayed[0][0] <= time.monotonic():
            _, task_id, attempt = self._delayed[0]
            self._store.wait_no_more(task_id, attempt)
            heapq.heappop(self._delayed)
        if self._closed or self.stopping is not Stopping.NOT or self._unwritten:
            return
        most = self.workers if self._engine_gone_s is None else 1
        while self._left and len(self._running) < most:
            self._submit(self._left.popleft(), take_up=True)
        if self.paused:
            return
        taken: list[QueuedAttempt] = []
        try:
            while len(self._running) + len(taken) < most:
                one = self._store.take(new_run_id())
                if one is None:
                    self._idle = True
                    break
                refused = self._shared.why(self._plan.choices(one.task_id))
                if one.cancelling:
                    # Somebody wanted it to end in the moment in which it failed and was delayed.
                    self._write(one, AttemptState.CANCELLED, cancelled(one.task_id, one.attempt))
                elif refused:
                    self._write(one, AttemptState.STOPPED, self._not_begun(one, refused))
                else:
                    taken.append(one)
            if taken:
                coming = [*taken, *self._store.waiting(most=self.workers)]
                self._engine.expect([self._plan.order(one, take_up=False) for one in coming])
        finally:
            # What is taken is made, whatever can't be read of the database after it.
            for one in taken:
                self._submit(one, take_up=False)

    def _submit(self, one: QueuedAttempt, *, take_up: bool) -> None:
        order = self._plan.order(one, take_up=take_up)
        self._running[order.run_id] = one
        self._board.begin(order.run_id, one.task_id, one.attempt)
        self._tell(
            AttemptBegun(
                task_id=one.task_id, attempt=one.attempt, run_id=order.run_id, taken_up=take_up
            )
        )
        self._engine.submit(order, lambda order, end: self._inbox.put((order, end)))

    def _not_begun(self, one: QueuedAttempt, why: str) -> AttemptResult:
        return AttemptResult(
            task_id=one.task_id,
            attempt=one.attempt,
            run_id=None,
            outcome=str(AttemptState.STOPPED),
            error_kind=ErrorKind.SETTING,
            detail=why,
            model=self._plan.choices(one.task_id).model,
        )

    # -- ending -----------------------------------------------------------------------------

    def _ended(self, order: AttemptOrder, end: AttemptEnd) -> None:
        one = self._running.pop(order.run_id)
        self._board.end(order.run_id)
        failure = end.failure
        found = dispose(
            end,
            tries=one.tries,
            cancelling=one.cancelling,
            stopping=self.stopping is not Stopping.NOT,
            engine_awaited=self._engine_is_awaited(one, failure),
        )
        match found:
            case BegunAgain():
                self._guarded(lambda: self._again(one, end.result))
            case Postponed():
                self._postpone(one, end.result, found)
            case Settled(state=state, result=result):
                self._write(one, state, result)
            case _:
                assert_never(found)
        if end.result.turns:
            self._shared.answered(self._plan.choices(one.task_id))
        if failure is not None and isinstance(found, Settled):
            self._refuse(one, failure, end.result)

    def _again(self, one: QueuedAttempt, before: AttemptResult) -> None:
        self._submit(self._store.begin_again(one, new_run_id(), before), take_up=False)

    def _engine_is_awaited(self, one: QueuedAttempt, failure: Failure | None) -> bool:
        """Whether an engine that does not answer may still come back; one at a time finds out.

        Whom it does not answer again, having answered others between, wears it out himself: what
        his container asks of it may be why.
        """
        if failure is None or failure.shared is not SharedBy.ENGINE:
            self._engine_gone_s = None
            self._engine_missed = dict.fromkeys(self._engine_missed, True)
            return False
        again = self._engine_missed.setdefault((one.task_id, one.attempt), False)
        now_s = time.monotonic()
        if self._engine_gone_s is None:
            self._engine_gone_s = now_s
            self._tell(BatchNotice(text=f"{_NO_ENGINE} for {duration(_ENGINE_PATIENCE_S)}"))
        return not again and now_s - self._engine_gone_s < _ENGINE_PATIENCE_S

    def _postpone(self, one: QueuedAttempt, result: AttemptResult, how: Postponed) -> None:
        due = time.monotonic() + how.wait_s

        def write() -> None:
            self._store.delay(one, result, counts=how.counts)
            heapq.heappush(self._delayed, (due, one.task_id, one.attempt))

        self._guarded_write(write)
        tries = one.tries + int(how.counts)
        self._tell(AttemptDelayed(result=result, wait_s=how.wait_s, tries=tries))

    def _refuse(self, one: QueuedAttempt, failure: Failure, result: AttemptResult) -> None:
        """Stop what shares the failure, or with `fail_fast` everything."""
        chosen = self._plan.choices(one.task_id)
        words = self._shared.add(failure.shared, one.task_id, chosen, result.detail)
        if self._fail_fast and not self._closed:
            words = words or f"{one.task_id} failed: no further task is begun"
            self._closed = True
        if words:
            self._closed = self._closed or failure.shared is SharedBy.BATCH
            self._tell(BatchNotice(text=words))
            if not self._closed:
                self._guarded_write(self._stop_refused)

    def _stop_refused(self) -> None:
        """All that waits and would fail alike, in one go."""
        waiting = self._store.waiting()
        found = [(one, self._shared.why(self._plan.choices(one.task_id))) for one in waiting]
        rows = [self._not_begun(one, why) for one, why in found if why]
        self._store.stop(rows)
        for row in rows:
            self._tell(AttemptEnded(state=AttemptState.STOPPED, result=row))

    def _write(self, one: QueuedAttempt, state: AttemptState, result: AttemptResult) -> None:
        self._guarded_write(lambda: self._store.ended(one, state, result))
        self._tell(AttemptEnded(state=state, result=result))

    # -- what others ask for ----------------------------------------------------------------

    def _steer(self) -> None:
        if not self._store.changed():
            return
        if self._looked:
            self._tell(QueueSteered(attempts=tuple(self._store.all())))
        self._looked = True
        wanted = self._store.steering()
        self.workers = wanted.workers or self._usual_workers
        if wanted.paused is not self.paused:
            self.paused = wanted.paused
            words = _PAUSED.format(self._plan.directory) if self.paused else "goes on"
            self._tell(BatchNotice(text=words))
        for one in self._store.cancelling():
            known = self._running.get(one.run_id or "")
            if known is not None and not known.cancelling:
                self._running[one.run_id or ""] = replace(known, cancelling=True)
                self._engine.interrupt(one.run_id or "", "moonpool batch cancel")

    def _interrupt_all(self) -> None:
        self._tell(BatchNotice(text=WORDS[self.stopping]))
        name = "SIGINT" if self.stopping is Stopping.SOON else "SIGTERM"
        for run_id in self._running:
            self._engine.interrupt(run_id, name)

    # -- a database that can't be written ---------------------------------------------------

    def _guarded_write(self, write: Callable[[], None]) -> None:
        """Write, or keep it to be written later: nothing new begins before it is."""
        self._unwritten.append(write)
        self._guarded(self._write_out)

    def _write_out(self) -> None:
        while self._unwritten:
            self._unwritten[0]()
            del self._unwritten[0]

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except RecordError as error:
            self._trouble_since_s = self._trouble_since_s or time.monotonic()
            if str(error) != self.trouble:
                waiting = len(self._unwritten)
                lost = f"; {waiting} results wait to be written" if waiting else ""
                self._tell(BatchNotice(text=f"{error}{lost}; it is tried again"))
            self.trouble = str(error)
        else:
            if work == self._write_out or not self._unwritten:
                self.trouble, self._trouble_since_s = "", None
