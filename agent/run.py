"""A run, top to bottom.

task + policy ─► image ─► snapshot of the workspace ─► container + guest
     ─► loop: model ⇄ decide ⇄ guest      (each step appended to the run record)
     ─► patch, proved as it is made ─► gate ─► verified on a fresh copy ─► report

Whatever ends the conversation, the patch of what stands in the container is exported; where that
can't be, the container stays and the last words say how to get at it (`leaving`). A run whose
process was killed is taken up from its record: then the first row is `past`. A chat is a run of
several requests: what leads it is a `room.SessionDriver`, and all else is the same.
"""

import hashlib
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from agent.conversation.approval import Approve
from agent.conversation.budget import Budget, BudgetSpent
from agent.conversation.change_tracking import ChangeTracker
from agent.conversation.context_files import context_of
from agent.conversation.loop import AgentLoop
from agent.conversation.resume_state import ResumeState
from agent.conversation.stopwatch import Stopwatch
from agent.conversation.system_prompt import system_prompt
from agent.conversation.tool_calls import ToolExecutor
from agent.delivery import Delivery
from agent.errors import RecordError
from agent.interrupts import Interrupts, SignalReceived
from agent.job import Job, OpenBox
from agent.models.interface import Model
from agent.models.open_model import DEFAULT_MAX_TOKENS
from agent.models.pricing import UNKNOWN, ModelInfo
from agent.observe.run_log import OWN
from agent.record.events.types import (
    ConversationEnded,
    Forked,
    Progress,
    Resumed,
    RunEnded,
    RunStarted,
    SandboxReady,
    UserMessageAdded,
    kernel_refusals,
)
from agent.record.images import ImageStore
from agent.record.journal import Journal, Show
from agent.record.outcome import (
    Conversation,
    Crashed,
    CutShort,
    Interrupted,
    Outcome,
    RecordFailed,
    SandboxFailed,
)
from agent.record.store import IMAGES, STEPS, RunRecord
from agent.record.summary import Summary, opening
from agent.session import RunSession, SessionDriver, one_task
from agent.tools.sandbox_protocol import SandboxProtocol
from agent.version import VERSION
from policies.file.rendering import as_data, spelled
from policies.paths import WORKSPACE
from sandbox.errors import SandboxError

_CONTEXT_S = 30.0
"""For three small files; for the words after a signal."""


class Run:
    """One run. Mutable only until it is over; `go` is the list above."""

    def __init__(
        self,
        job: Job,
        *,
        model: Model,
        open_box: OpenBox,
        record: RunRecord,
        show: Show,
        approve: Approve,
        interrupts: Interrupts,
        exit_code: Callable[[Outcome], int],
        driver: SessionDriver = one_task,
        past: ResumeState | None = None,
        torn_bytes: int = 0,
        facts: ModelInfo = UNKNOWN,
    ) -> None:
        """Args:
        talk: what is asked in the box once it is ready; a run that is taken up goes on with what
            was asked already.
        facts: what is known of the model: its prices and its window.
        past: what the record says of a run that another process began.
        torn_bytes: of the record's last line, which that process did not finish.
        """
        self._job = job
        self._past = past
        self._torn_bytes = torn_bytes
        self._model = model
        self._open_box = open_box
        self._record = record
        self.journal = Journal(record=record, show=show, interrupts=interrupts)
        self._approve = approve
        self._interrupts = interrupts
        self._driver = driver
        self._exit_code = exit_code
        self._clock = Stopwatch()
        self._facts = facts
        self._started = datetime.now(UTC)
        if past is not None:
            self._started = past.began
            self._clock = Stopwatch(before_s=past.spent.seconds)
        self._budget = self._metered()
        if past is not None:
            self.journal.log.extend(past.log)
        self._box: SandboxProtocol | None = None
        self._leaving = Delivery(job, record=record, journal=self.journal, interrupts=interrupts)

    def go(self) -> Summary:
        """Do it all; every way to end is a value in the summary."""
        try:
            ended: Conversation = self._converse()
        except SandboxError as error:
            ended = SandboxFailed(message=str(error))
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
            outcome = self._leaving(self._box, ended)
        return self._summary(outcome)

    # -- the conversation ------------------------------------------------------------------

    def _converse(self) -> Conversation:
        job = self._job
        emit = self.journal.emit
        self._record.write_summary(opening(job, self._model.name, self._started))
        emit(self._beginning())
        with self._interrupts.immediate():
            self._box = self._open_box(job, lambda text: emit(Progress(text=text)))
        box = self._box
        emit(
            SandboxReady(
                container=box.id,
                container_state=box.container_state,
                seal=_fields(box.seal),
                kernel_enforced=box.seal.kernel_enforced,
                left_behind=box.left_behind,
                seconds=self._clock(),
            )
        )
        past = self._past
        if past is not None and past.ended is not None:
            return past.ended
        if past is not None and not job.task and not _asked(past):
            return CutShort(detail="the process that ran it ended before anything was asked")
        # The time of a run is the agent's: a first build of the image does not count.
        self._budget = self._metered()
        tracker = ChangeTracker(
            box,
            self._record.directory / STEPS,
            emit=emit,
            interrupts=self._interrupts,
            made=past.calls if past is not None else 0,
        )
        if past is not None and past.calls and past.forked is None:
            tracker.anew()
        loop = AgentLoop(
            model=self._model,
            calls=ToolExecutor(
                box=box,
                policy=job.policy,
                approve=self._approve,
                interrupts=self._interrupts,
                emit=emit,
                made=past.calls if past is not None else 0,
                tracker=tracker,
                image_store=ImageStore(
                    self._record.directory / IMAGES,
                    shown=past.images if past is not None else (),
                ),
            ),
            budget=self._budget,
            system=system_prompt(job.policy, WORKSPACE, job.instructions.operator),
            server_tools=job.policy.server_tools,
            max_tokens=DEFAULT_MAX_TOKENS,
            interrupts=self._interrupts,
            emit=emit,
            facts=self._facts,
        )
        if past is None and job.instructions.context_files:
            with self._interrupts.calling(box.cancel, up_to_s=_CONTEXT_S):
                context = context_of(box, job.policy)
            if context is not None:
                loop.show(context)
        if past is not None:
            ended = loop.go_on(past, job.task)
        else:
            ended = self._driver(
                RunSession(
                    job=job,
                    box=box,
                    loop=loop,
                    budget=self._budget,
                    record=self._record,
                    journal=self.journal,
                    tracker=tracker,
                    interrupts=self._interrupts,
                    clock=self._clock,
                )
            )
        tracker.finish()
        return ended

    def _beginning(self) -> RunStarted | Resumed | Forked:
        job, past = self._job, self._past
        if past is not None and past.forked is not None:
            return past.forked
        if past is not None:
            return Resumed(
                model=self._model.name,
                version=VERSION,
                pid=os.getpid(),
                cut_bytes=self._torn_bytes,
                in_doubt=past.turn.in_doubt.number
                if past.turn is not None and past.turn.in_doubt is not None
                else None,
                lossy=_fields(past.lossy),
            )
        rules = as_data(job.policy)
        return RunStarted(
            run_id=job.run_id,
            task=job.task,
            workspace=str(job.workspace),
            policy=job.policy.name,
            policy_file=job.policy.where.file,
            policy_rules=rules,
            rules_sha256=hashlib.sha256(spelled(rules).encode()).hexdigest(),
            kernel_policy=job.kernel_policy,
            model=self._model.name,
            verify=job.verify,
            accepted_risks=tuple(sorted(job.accepted_risks)),
            version=VERSION,
            pid=os.getpid(),
            instructions=job.instructions.operator,
        )

    def _summary(self, outcome: Outcome) -> Summary:
        box = self._box
        summary = Summary(
            job=replace(self._job, task=self._job.task or self._first_request()),
            model=self._model.name,
            outcome=outcome,
            exit_code=self._exit_code(outcome),
            started=self._started,
            seconds=self._clock(),
            turns=self._budget.turns,
            used=self._budget.used,
            usd=self._budget.usd,
            usd_source=self._facts.source if self._facts.prices is not None else "",
            kernel_enforced=box.seal.kernel_enforced if box else None,
            seal=_fields(box.seal) if box else {},
            left_behind=box.left_behind if box else (),
            kernel_refusals=kernel_refusals(self.journal.log),
            delivery=self._leaving.delivery,
            verification=self._leaving.verification,
            container_left=self._leaving.container_left,
        )
        self.journal.quietly(
            RunEnded(
                outcome=outcome,
                exit_code=summary.exit_code,
                container_left=self._leaving.container_left,
                used=summary.used,
                turns=summary.turns,
                seconds=summary.seconds,
                usd=summary.usd,
            )
        )
        return summary

    def _first_request(self) -> str:
        said = (
            event.text
            for event in self.journal.log
            if isinstance(event, UserMessageAdded) and event.what == "request"
        )
        return f"chat: {next(said, '(nothing was asked)')}"

    def _metered(self) -> Budget:
        # A service's cache cools while a person thinks, though no time of the run passes.
        return Budget(
            self._job.policy,
            clock=self._clock,
            before=self._spent,
            prices=self._facts.prices,
            wall=time.monotonic,
        )

    @property
    def _spent(self) -> BudgetSpent | None:
        return None if self._past is None else self._past.spent


def _fields(value: object) -> dict[str, object]:
    if not is_dataclass(value):
        return {}
    return {item.name: getattr(value, item.name) for item in fields(value)}


def _asked(past: ResumeState) -> bool:
    return any(isinstance(event, UserMessageAdded) for event in past.log)
