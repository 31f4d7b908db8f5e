"""A run, top to bottom.

task + policy ─► image ─► snapshot of the workspace ─► container + guest
     ─► loop: model ⇄ decide ⇄ guest      (each step appended to the run record)
     ─► patch, proved as it is made ─► gate ─► verified on a fresh copy ─► report

Whatever ends the conversation, the patch of what stands in the container is exported; where that
can't be, the container stays and the last words say how to get at it (`agent.lifecycle.delivery`).
A run whose process was killed is taken up from its record: then the first row is `RunSetup.past`.
A chat is a run of several requests: what leads it is a `SessionDriver`, and all else is the same.
How the parts are made is `agent.lifecycle.session`'s.
"""

import traceback
from pathlib import Path

from agent.errors import RecordError
from agent.interrupts import SignalReceived
from agent.lifecycle.delivery import Delivery
from agent.lifecycle.session import RunSession, RunSetup, one_task
from agent.record.events.kinds import Progress
from agent.record.events.lifecycle import (
    ConversationEnded,
    Forked,
    Resumed,
    RunEnded,
    RunStarted,
    SandboxReady,
)
from agent.record.outcome import (
    Conversation,
    Crashed,
    CutShort,
    Interrupted,
    Outcome,
    RecordFailed,
    SandboxFailed,
    exit_code,
)
from agent.record.run_log import OWN
from agent.record.summary import RunResult, running_summary, summary_of
from agent.tools.sandbox_protocol import SandboxProtocol
from sandbox.errors import SandboxError


class Run:
    """One run. Mutable only until it is over; `go` is the list above."""

    def __init__(self, setup: RunSetup) -> None:
        self._setup = setup
        self._clock = setup.stopwatch()
        self._budget = setup.budget(self._clock)
        self._images = setup.image_store()
        self.journal = setup.journal(self._images)
        self._delivery = Delivery(
            job=setup.job,
            record=setup.record,
            journal=self.journal,
            interrupts=setup.interrupts,
            reviewer=setup.reviewer,
        )
        self._box: SandboxProtocol | None = None

    def go(self) -> RunResult:
        """Do it all; every way to end is a value in the result."""
        beginning = self._setup.first_event()
        try:
            ended: Conversation = self._converse(beginning)
        except SandboxError as error:
            ended = SandboxFailed(message=str(error), cause=type(error).__name__)
        except SignalReceived as signal:
            ended = Interrupted(signal=signal.name)
        except RecordError as error:
            ended = RecordFailed(message=str(error))
        except Exception as error:  # noqa: BLE001 - a defect of ours must not cost the agent's work
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            ended = Crashed(message=f"a defect of Moonpool at {where}: {error!r}")
            OWN.error(ended.message, exc_info=error)
        outcome: Outcome = ended
        self.journal.quietly(ConversationEnded(outcome=ended))
        if self._box is not None:
            outcome = self._delivery(self._box, ended, self._budget)
        return self._result(outcome)

    def _converse(self, beginning: RunStarted | Resumed | Forked) -> Conversation:
        setup, emit = self._setup, self.journal.emit
        if setup.job.instructions.skills.skills:
            from agent.record.kept import keep_skills  # noqa: PLC0415 - few runs have some

            keep_skills(setup.record.directory, setup.job.instructions.skills)
        emit(beginning)
        setup.record.write_summary(running_summary(self.journal.state).json_object())
        with setup.interrupts.immediate():
            self._box = setup.open_box(setup.job, lambda text: emit(Progress(text=text)))
        emit(self._ready(self._box))
        over = self._over()
        if over is not None:
            return over
        session = setup.session(
            self._box, journal=self.journal, images=self._images, clock=self._clock
        )
        self._budget = session.budget
        ended = self._led(session)
        session.tracker.finish()
        return ended

    def _ready(self, box: SandboxProtocol) -> SandboxReady:
        return SandboxReady(
            container=box.id,
            container_state=box.container_state,
            seal=box.seal,
            kernel_enforced=box.seal.kernel_enforced,
            left_behind=box.left_behind,
            seconds=self._clock(),
        )

    def _over(self) -> Conversation | None:
        """How the conversation of a run that is taken up had ended; None: it goes on."""
        past = self._setup.past
        if past is None or past.ended is not None:
            return past.ended if past is not None else None
        if not self._setup.job.task and not self.journal.state.conversation.asked:
            return CutShort(detail="the process that ran it ended before anything was asked")
        return None

    def _led(self, session: RunSession) -> Conversation:
        past, driver = self._setup.past, self._setup.driver
        if past is None:
            session.show_context()
            return driver(session)
        if past.forked is not None and driver is not one_task:
            return driver(session)  # a chat that goes on where another run ended
        return session.loop.go_on(session.job.task, same_container=past.forked is None)

    def _result(self, outcome: Outcome) -> RunResult:
        setup, budget = self._setup, self._budget
        self.journal.quietly(
            RunEnded(
                outcome=outcome,
                exit_code=exit_code(outcome),
                container_left=self._delivery.container_left,
                used=budget.used,
                turns=budget.turns,
                seconds=self._clock(),
                usd=budget.usd,
                usd_source=setup.price_sources,
                usd_allowed=setup.job.policy.budget.usd,
            )
        )
        return RunResult(
            outcome=outcome,
            document=summary_of(self.journal.state),
            delivery=self._delivery.delivery,
        )
