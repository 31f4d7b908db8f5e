"""One sandbox of a client: a run of its own, in a thread of its own, that waits for requests.

Owns the way between the two: requests are served one at a time in the order in which they came, one
that is taken back ends in the container too, and however the sandbox ends its patch is exported by
the run's own way out. Refuses to know the protocol (`agent.servers.mcp.server`).
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, Generic, TypeVar

import anyio

from agent.conversation.budget import BudgetReached
from agent.errors import RecordError
from agent.interrupts import SignalReceived
from agent.lifecycle.job import Job
from agent.lifecycle.session import RunSession, RunSetup
from agent.past_runs.resume import UnaskedModel
from agent.preparation.prepare import carry_out
from agent.record.events.conversation import CallEnded, CallRefused, UserMessageAdded
from agent.record.events.kinds import Event, OutputPiece, Progress
from agent.record.events.lifecycle import RequestAwaited
from agent.record.outcome import Conversation, CutShort, Interrupted, SandboxFailed
from agent.record.run_log import OWN
from agent.record.store import RunRecord
from agent.record.summary import RunSummary
from agent.review.opinion.asking import Reviewer
from agent.servers.mcp.desk import CallReport, Desk, RequestRefused
from agent.servers.mcp.interrupts import RequestInterrupts
from agent.servers.mcp.settings import McpSettings
from agent.untrusted_text import decode, one_line
from policies.decision import Answered, Ask, Call, Declined
from policies.errors import duration
from sandbox.errors import SandboxError

T = TypeVar("T")
_SERVER_ENDED = "the server that its client used ended"
_LINE = 200


class _Request(Generic[T]):
    """One request, from its client to the thread and back."""

    def __init__(self, work: Callable[[Desk], T], answered: Answered | None) -> None:
        self.work = work
        self.answered = answered
        self.answer: Future[T] = Future()

    def serve(self, desk: Desk) -> None:
        """Do it, in the thread. What ends the run is raised, after the client was told."""
        desk.answered = self.answered
        try:
            result = self.work(desk)
        except BaseException as error:
            if not self.answer.done():
                self.answer.set_exception(_refusal(error))
            if isinstance(error, _ENDING) or not isinstance(error, Exception):
                raise
        else:
            # The answer to a call is out already: it waits for nothing that comes after the call.
            if not self.answer.done():
                self.answer.set_result(result)


_ENDING = (SandboxError, RecordError, BudgetReached)
"""What ends a sandbox beside a signal, and not one request alone."""


def _refusal(error: BaseException) -> Exception:
    match error:
        case BudgetReached():
            return RequestRefused(f"the time of this sandbox is used up: {error.limit.detail}")
        case SignalReceived():
            return RequestRefused(f"the sandbox was ended by {error.name}")
        case Exception():
            return error
        case _:
            return RequestRefused("the server ends")


class ClientSandbox:
    """Made in the event loop's thread, which may call everything that is public."""

    def __init__(
        self,
        *,
        handle: str,
        client: str,
        job: Job,
        record: RunRecord,
        settings: McpSettings,
        reviewer: Reviewer | None = None,
    ) -> None:
        """Args:
        client: what the client calls itself, made visible; the record has it for a model's name.
        """
        self.handle = handle
        self.request: object = None
        """The request that it was opened for, until a later one names it."""
        self.job = job
        self.opened: Future[None] = Future()
        self.ended: Future[RunSummary] = Future()
        self.newest = ""
        """The newest line of what is being done, for whoever waits for it."""
        self._client = client
        self._reviewer = reviewer
        self._settings = settings
        self._record = record
        self._interrupts = RequestInterrupts()
        self._requests: queue.Queue[_Request[Any] | Conversation] = queue.Queue()
        self._serving: _Request[Any] | None = None
        self._closing = False
        self._lock = threading.Lock()
        self._desk: Desk | None = None
        self._thread = threading.Thread(target=self._go, name=f"sandbox {job.run_id}", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return not self.ended.done()

    # -- for the event loop ----------------------------------------------------------------

    async def call(
        self, tool: str, arguments: Mapping[str, object], answered: Answered | None = None
    ) -> CallReport:
        """Have a tool called. Raises: as `ask`."""
        return await self._answer(_Request(lambda desk: desk.call(tool, arguments), answered))

    async def ask(self, work: Callable[[Desk], T]) -> T:
        """Have something done in the thread.

        Raises:
            RequestRefused: it is not served.
            FileError, SandboxError, RecordError: what the work raised.
            CancelledError: the request was taken back; what it ran in the container is over.
        """
        return await self._answer(_Request(work, None))

    async def _answer(self, request: _Request[T]) -> T:
        if not self.alive:
            raise RequestRefused(self.last_words())
        if self._closing:
            raise RequestRefused("this sandbox is being closed")
        self._requests.put(request)
        if not self.alive:
            # It ended in between, and its thread looks at no request any more.
            self._refuse_waiting()
        answer = asyncio.wrap_future(request.answer)
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            self._take_back(request)
            # Shielded, or the cancellation is delivered again and again until the command is over.
            with anyio.CancelScope(shield=True):
                await asyncio.wait([answer])
            if not answer.cancelled():
                answer.exception()
            raise

    def _take_back(self, request: _Request[Any]) -> None:
        with self._lock:
            if self._serving is request:
                self._interrupts.take_back()
            else:
                request.answer.cancel()
                with self._requests.mutex, suppress(ValueError):
                    self._requests.queue.remove(request)

    def close(self, ended: Conversation) -> None:
        """End it when what was asked before is done; nothing is asked of it any more."""
        self._closing = True
        self._requests.put(ended)

    def end(self, why: str) -> None:
        """End it at once, with what runs in it; the patch is exported.

        Args:
            why: what stands behind "interrupted by".
        """
        self._closing = True
        self._interrupts.receive(why)
        self._requests.put(Interrupted(signal=why))

    def last_words(self) -> str:
        """Why nothing is served any more, and where the work is."""
        words = f"this sandbox is closed; its run is {self.job.run_id}"
        if self.ended.done() and not self.ended.cancelled() and self.ended.exception() is None:
            document = self.ended.result()
            words += f", which ended as: {document.outcome}"
            words += f" ({document.detail})" if document.detail else ""
        return f"{words}. Open another one to go on"

    # -- in the thread ---------------------------------------------------------------------

    def _go(self) -> None:
        try:
            document = self._carried_out()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the thread is told
            OWN.error("a defect of Moonpool in a sandbox of a client", exc_info=error)
            self._refuse_opening(RequestRefused(f"a defect of Moonpool: {error!r}"))
            self.ended.set_exception(error if isinstance(error, Exception) else CancelledError())
        else:
            words = document.detail or document.outcome
            self._refuse_opening(RequestRefused(f"the sandbox can't be opened: {words}"))
            self.ended.set_result(document)
        self._refuse_waiting()

    def _carried_out(self) -> RunSummary:
        try:
            result = carry_out(
                RunSetup(
                    job=self.job,
                    model=UnaskedModel(f"mcp:{self._client}"),
                    reviewer=self._reviewer,
                    open_box=self._settings.open_box,
                    record=self._record,
                    show=self._show,
                    approve=self._approve,
                    interrupts=self._interrupts,
                    driver=self._drive,
                ),
                telemetry=self._settings.telemetry,
            )
            return result.document
        finally:
            # What it holds (all that was told, the patch) is no use to a late request.
            self._desk = None
            self._record.close()

    def _refuse_opening(self, why: RequestRefused) -> None:
        if not self.opened.done():
            self.opened.set_exception(why)

    def _refuse_waiting(self) -> None:
        """Answer those who asked too late."""
        with suppress(queue.Empty):
            while True:
                request = self._requests.get_nowait()
                if isinstance(request, _Request) and not request.answer.cancelled():
                    with suppress(Exception):
                        request.answer.set_exception(RequestRefused(self.last_words()))

    def _drive(self, session: RunSession) -> Conversation:
        """Serve requests until one of them is the last. Fits a `SessionDriver`."""
        self._desk = desk = Desk(session, record_bytes=self._settings.record_bytes)
        session.journal.emit(UserMessageAdded(text=self.job.task, what="request"))
        # Whoever takes the run up after this process was killed has nobody to ask: it is exported.
        session.journal.emit(RequestAwaited(outcome=CutShort(detail=_SERVER_ENDED)))
        self.opened.set_result(None)
        while True:
            with session.clock.stopped():
                request = self._next()
            if session.interrupts.requested:
                if isinstance(request, _Request):
                    self._requests.put(request)
                return Interrupted(signal=session.interrupts.name)
            if not isinstance(request, _Request):
                return request
            try:
                self._serve(request, desk)
            except SandboxError as error:
                return SandboxFailed(message=str(error), cause=type(error).__name__)
            except BudgetReached as over:
                return over.limit

    def _next(self) -> _Request[Any] | Conversation:
        idle_s = self._settings.idle_s
        try:
            return self._requests.get(timeout=idle_s)
        except queue.Empty:
            return Interrupted(signal=f"its time-out: nothing was asked for {duration(idle_s)}")

    def _serve(self, request: _Request[Any], desk: Desk) -> None:
        self.newest = ""
        with self._lock:
            if not request.answer.set_running_or_notify_cancel():
                return
            self._interrupts.begin_request()
            self._serving = request
        try:
            request.serve(desk)
        finally:
            with self._lock:
                self._serving = None
        if self._interrupts.taken_back:
            # It may have come when its command had ended: the next one is not meant.
            desk.session.box.rouse()

    def _show(self, event: Event, _line: str | None) -> None:
        request, desk = self._serving, self._desk
        match event:
            case Progress(text=text):
                self.newest = one_line(text, _LINE)
            case OutputPiece(data=data):
                # Hostile, and not looked through: its last line, where that is a short one.
                self.newest = one_line(decode(data[-_LINE:].rstrip().rpartition(b"\n")[2]), _LINE)
            case CallEnded() | CallRefused() if request and desk:
                report = desk.reported(event)
                if not request.answer.done():
                    request.answer.set_result(report)
            case _:
                pass

    def _approve(self, call: Call, ask: Ask) -> Answered:
        desk = self._desk
        return desk.approve(call, ask) if desk is not None else Declined(reason="not open yet")
