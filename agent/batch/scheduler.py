"""Which attempt is begun when, and what becomes of it when it ends.

Owns the loop of the main thread: it takes from the queue, gives to an engine, and writes down what
comes back before it acts on it. Refuses to know how an attempt is made (`worker`), where
(`engines`) and what a person sees (`watching`).
"""

import heapq
import queue
import time
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto

from agent.batch.attempt import AttemptResult, ErrorKind
from agent.batch.board import Board
from agent.batch.engines.interface import AttemptEngine
from agent.batch.failure import SharedBy
from agent.batch.order import AttemptEnd, AttemptOrder
from agent.batch.plan import BatchPlan
from agent.batch.queue.states import AttemptState, QueuedAttempt
from agent.batch.queue.store import BatchQueue
from agent.batch.watching.events import (
    AttemptBegun,
    AttemptDelayed,
    AttemptEnded,
    BatchEvent,
    BatchNotice,
)
from agent.errors import RecordError
from agent.record.store import new_run_id
from policies.frozen import dataclass

MOST_TRIES = 3
"""Of what fails by its environment or the model's service, the first included."""
_BACKOFF_S = {ErrorKind.ENVIRONMENT: 2.0, ErrorKind.SERVICE: 15.0}
"""Before the second try; four times as long before the third."""
_ENGINE_PATIENCE_S = 1800.0
"""For how long an engine that does not answer is awaited, as when it starts again."""
_NO_ENGINE = "no container engine answers: one task at a time finds out whether it is back,"
_LOOK_S = 0.25
"""How often what others wrote to the database is looked for."""
_UNWRITTEN_S = 60.0
"""How long a database that can't be written is tried again once nothing runs any more."""
CANCELLED = "cancelled"
SET_ASIDE = "set aside"
STOPPED = "stopped"


class Stopping(Enum):
    """How much is still to be done."""

    NOT = auto()
    SOON = auto()
    """No new tasks; those that run come to the end of their call, and export."""
    AT_ONCE = auto()
    """Those that run export now."""
    DROPPED = auto()
    """Not even that: the same command takes them up."""


_STOPPING_WORDS = {
    Stopping.SOON: "no further task is begun; those that run finish their call and export; again: "
    "at once",
    Stopping.AT_ONCE: "those that run export at once; again: leave even that",
    Stopping.DROPPED: "leaving; what runs is taken up by the same command",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerOptions:
    workers: int
    fail_fast: bool = False


class Scheduler:
    """Mutable: one to a process. For the main thread; a signal's handler may call `stop`."""

    def __init__(
        self,
        *,
        plan: BatchPlan,
        store: BatchQueue,
        engine: AttemptEngine,
        board: Board,
        options: SchedulerOptions,
        tell: Callable[[BatchEvent], None],
        refresh: Callable[[], None],
    ) -> None:
        """Args:
        tell: hears what happens.
        refresh: called some times a second.
        """
        self._plan = plan
        self._store = store
        self._engine = engine
        self._board = board
        self._options = options
        self._tell = tell
        self._refresh = refresh
        self._inbox: queue.SimpleQueue[tuple[AttemptOrder, AttemptEnd] | None] = queue.SimpleQueue()
        self._running: dict[str, QueuedAttempt] = {}
        self._delayed: list[tuple[float, str, int]] = []
        self._unwritten: list[Callable[[], None]] = []
        self._refused: dict[tuple[SharedBy, str], str] = {}
        self._idle = False
        self._closed = False
        self._engine_gone_s: float | None = None
        """Since when the engine has not answered anybody."""
        self._trouble_since_s: float | None = None
        self.workers = options.workers
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
                self._submit(one, take_up=True)
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
        return stopped or (self._idle and not self._delayed)

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
        if self._closed or self.stopping is not Stopping.NOT or self.paused or self._unwritten:
            return
        taken = False
        most = self.workers if self._engine_gone_s is None else 1
        while len(self._running) < most:
            one = self._store.take(new_run_id())
            if one is None:
                self._idle = True
                break
            refused = self._why_refused(one)
            if refused:
                self._write(one, AttemptState.STOPPED, self._not_begun(one, refused))
            else:
                self._submit(one, take_up=False)
                taken = True
        if taken:
            coming = self._store.waiting(most=self.workers)
            self._engine.expect([self._plan.order(one, take_up=False) for one in coming])

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

    def _why_refused(self, one: QueuedAttempt) -> str:
        chosen = self._plan.choices(one.task_id)
        shared = (
            (SharedBy.BATCH, ""),
            (SharedBy.MODEL, chosen.model),
            (SharedBy.POLICY, chosen.policy.name),
        )
        return next((self._refused[one] for one in shared if one in self._refused), "")

    def _not_begun(self, one: QueuedAttempt, why: str) -> AttemptResult:
        return AttemptResult(
            task_id=one.task_id,
            attempt=one.attempt,
            run_id=None,
            outcome=STOPPED,
            error_kind=ErrorKind.SETTING,
            detail=why,
            model=self._plan.choices(one.task_id).model,
        )

    # -- ending -----------------------------------------------------------------------------

    def _ended(self, order: AttemptOrder, end: AttemptEnd) -> None:
        one = self._running.pop(order.run_id)
        self._board.end(order.run_id)
        result, failure = end.result, end.failure
        if failure is None or failure.shared is not SharedBy.ENGINE:
            self._engine_gone_s = None
        if end.begin_again and self.stopping is Stopping.NOT:
            self._guarded(lambda: self._again(one, result))
        elif end.begin_again or end.interrupted:
            self._broken_off(one, result)
        elif failure is None or failure.kind is ErrorKind.AGENT:
            self._write(one, AttemptState.DONE, result)
        elif failure.again and self.stopping is not Stopping.NOT:
            self._write(one, AttemptState.STOPPED, result)
        elif failure.shared is SharedBy.ENGINE and self._engine_is_awaited():
            self._delay(one, result, failure.kind, counts=False)
        elif failure.again and one.tries + 1 < MOST_TRIES:
            self._delay(one, result, failure.kind)
        elif failure.kind is ErrorKind.ENVIRONMENT:
            self._set_aside(one, result)
        else:
            if failure.shared is not SharedBy.NOBODY:
                self._refuse(one, failure.shared, result.detail)
            self._write(one, AttemptState.STOPPED, result)
        if self._options.fail_fast and failure is not None and not self._closed:
            self._closed = True
            self._tell(BatchNotice(text=f"{one.task_id} failed: no further task is begun"))

    def _again(self, one: QueuedAttempt, before: AttemptResult) -> None:
        self._submit(self._store.begin_again(one, new_run_id(), before), take_up=False)

    def _broken_off(self, one: QueuedAttempt, result: AttemptResult) -> None:
        state = AttemptState.CANCELLED if one.cancelling else AttemptState.STOPPED
        self._write(one, state, result)

    def _engine_is_awaited(self) -> bool:
        """Whether an engine that does not answer may still come back; one at a time finds out."""
        now_s = time.monotonic()
        if self._engine_gone_s is None:
            self._engine_gone_s = now_s
            self._tell(BatchNotice(text=f"{_NO_ENGINE} for {_ENGINE_PATIENCE_S / 60:.0f} minutes"))
        return now_s - self._engine_gone_s < _ENGINE_PATIENCE_S

    def _delay(
        self, one: QueuedAttempt, result: AttemptResult, kind: ErrorKind, *, counts: bool = True
    ) -> None:
        wait_s = _BACKOFF_S[kind] * 4 ** (one.tries if counts else 1)
        due = time.monotonic() + wait_s

        def write() -> None:
            self._store.delay(one, result, counts=counts)
            heapq.heappush(self._delayed, (due, one.task_id, one.attempt))

        self._guarded_write(write)
        self._tell(AttemptDelayed(result=result, wait_s=wait_s, tries=one.tries + 1))

    def _set_aside(self, one: QueuedAttempt, result: AttemptResult) -> None:
        times = f"after {one.tries + 1} tries" if one.tries else "it would be the same again"
        words = f"{SET_ASIDE}: {result.detail} ({times})"
        self._write(one, AttemptState.SET_ASIDE, result.replaced({"detail": words}))

    def _refuse(self, one: QueuedAttempt, shared: SharedBy, why: str) -> None:
        chosen = self._plan.choices(one.task_id)
        match shared:
            case SharedBy.MODEL:
                what, words = chosen.model, f"no further task of {chosen.model} is begun"
            case SharedBy.POLICY:
                what = chosen.policy.name
                words = f"no further task under policy {what} is begun"
            case _:
                what, words = "", "no further task is begun"
                self._closed = True
        if (shared, what) in self._refused:
            return
        self._refused[shared, what] = why
        self._tell(BatchNotice(text=f"{words}: {why}"))
        if not self._closed:
            self._guarded_write(self._stop_refused)

    def _stop_refused(self) -> None:
        """All that waits and would fail alike, in one go."""
        found = {one: self._why_refused(one) for one in self._store.waiting()}
        rows = [self._not_begun(one, why) for one, why in found.items() if why]
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
        wanted = self._store.steering()
        self.workers = wanted.workers or self._options.workers
        if wanted.paused is not self.paused:
            self.paused = wanted.paused
            words = "paused: no further task is begun" if self.paused else "goes on"
            self._tell(BatchNotice(text=words))
        for one in self._store.cancelling():
            known = self._running.get(one.run_id or "")
            if known is not None and not known.cancelling:
                self._running[one.run_id or ""] = replace(known, cancelling=True)
                self._engine.interrupt(one.run_id or "", "moonpool batch cancel")

    def _interrupt_all(self) -> None:
        self._tell(BatchNotice(text=_STOPPING_WORDS[self.stopping]))
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
