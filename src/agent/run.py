"""A run, top to bottom.

task + policy ─► image ─► snapshot of the workspace ─► container + guest
     ─► loop: model ⇄ decide ⇄ guest      (each step appended to the run record)
     ─► patch, proved as it is made ─► gate ─► verified on a fresh copy ─► report

Whatever ends the conversation, the patch of what stands in the container is exported; where that
can't be, the container stays and the last words say how to get at it. A run whose process was
killed is taken up from its record: then the first row is `past`.
"""

import contextlib
import hashlib
import os
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from agent import verification
from agent.album import Album
from agent.approval import Approve
from agent.box import Box
from agent.calls import Calls
from agent.context_files import context_of
from agent.errors import RecordError
from agent.events import (
    ConversationEnded,
    Exported,
    ExportFailed,
    Forked,
    Notice,
    Progress,
    Resumed,
    RunEnded,
    RunStarted,
    SandboxReady,
    VerificationEnded,
)
from agent.following import Following
from agent.interrupts import Interrupts, Stop
from agent.job import Job, OpenBox
from agent.journal import Journal, Show
from agent.loop import Loop
from agent.messages import Model
from agent.meter import Meter
from agent.models.facts import UNKNOWN, Facts
from agent.models.registry import DEFAULT_MAX_TOKENS
from agent.outcome import (
    Conversation,
    Crashed,
    ExportRefused,
    Finished,
    GaveUp,
    Interrupted,
    LimitReached,
    NotVerified,
    Outcome,
    RecordFailed,
    Refused,
    SandboxFailed,
)
from agent.past import Past
from agent.prompt import system_prompt
from agent.record import BASELINE, IMAGES, PATCH, REFUSED_PATCH, STEPS, Record
from agent.risk import gate
from agent.runlog import OWN
from agent.summary import Delivery, Summary, kernel_refusals, opening
from agent.verification import Failed, NotAsked, NotRun, Verification, verify
from policies.rendering import as_data, spelled
from sandbox.errors import ContainerGone, EngineUnavailable, SandboxError
from sandbox.patch import Patch
from sandbox.spec import WORKSPACE

_PATIENCE_S = 60.0
"""How long an engine that went away is waited for, with the agent's work in it."""
_LITTLE_PATIENCE_S = 4.0
"""The same where the operator, or what supervises us, wants the end at once."""
_RETRY_S = 0.5
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
        record: Record,
        show: Show,
        approve: Approve,
        interrupts: Interrupts,
        exit_code: Callable[[Outcome], int],
        past: Past | None = None,
        torn_bytes: int = 0,
        facts: Facts = UNKNOWN,
    ) -> None:
        """Args:
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
        self._exit_code = exit_code
        self._facts = facts
        self._meter = Meter(job.policy, prices=facts.prices)
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()
        if past is not None:
            self._meter = Meter(job.policy, before=past.spent, prices=facts.prices)
            self._started = past.began
            self._clock -= past.spent.seconds
            self.journal.log.extend(past.log)
        self._box: Box | None = None
        self._delivery: Delivery | None = None
        self._verification: Verification = NotAsked()
        self._container_left: str | None = None

    def go(self) -> Summary:
        """Do it all; every way to end is a value in the summary."""
        try:
            ended: Conversation = self._converse()
        except SandboxError as error:
            ended = SandboxFailed(message=str(error))
        except Stop as signal:
            ended = Interrupted(signal=signal.name)
        except RecordError as error:
            ended = RecordFailed(message=str(error))
        except Exception as error:  # noqa: BLE001 - a defect of ours must not cost the agent's work
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            ended = Crashed(message=f"a defect of Moonpool at {where}: {error!r}")
            OWN.error(ended.message, exc_info=error)
        outcome: Outcome = ended
        self._quietly(ConversationEnded(outcome=ended))
        if self._box is not None:
            outcome = self._after(self._box, ended)
            self._close(self._box)
        return self._summary(outcome)

    # -- the conversation ------------------------------------------------------------------

    def _converse(self) -> Conversation:
        job = self._job
        tell = self.journal.tell
        self._record.write_summary(opening(job, self._model.name, self._started))
        tell(self._beginning())
        with self._interrupts.immediate():
            self._box = self._open_box(job, lambda text: tell(Progress(text=text)))
        box = self._box
        tell(
            SandboxReady(
                container=box.id,
                standing=box.standing,
                seal=_fields(box.seal),
                kernel_enforced=box.seal.kernel_enforced,
                left_behind=box.left_behind,
                seconds=self._elapsed(),
            )
        )
        past = self._past
        if past is not None and past.ended is not None:
            return past.ended
        # The time of a run is the agent's: a first build of the image does not count.
        self._meter = Meter(
            job.policy,
            before=past.spent if past is not None else None,
            prices=self._facts.prices,
        )
        following = Following(
            box,
            self._record.directory / STEPS,
            tell=tell,
            interrupts=self._interrupts,
            made=past.calls if past is not None else 0,
        )
        if past is not None and past.calls and past.forked is None:
            following.anew()
        loop = Loop(
            model=self._model,
            calls=Calls(
                box=box,
                policy=job.policy,
                approve=self._approve,
                interrupts=self._interrupts,
                tell=tell,
                made=past.calls if past is not None else 0,
                following=following,
                album=Album(
                    self._record.directory / IMAGES,
                    shown=past.images if past is not None else (),
                ),
            ),
            meter=self._meter,
            system=system_prompt(job.policy, WORKSPACE, job.briefing.instructions),
            server_tools=job.policy.server_tools,
            max_tokens=DEFAULT_MAX_TOKENS,
            interrupts=self._interrupts,
            tell=tell,
            facts=self._facts,
        )
        if past is None and job.briefing.context_files:
            with self._interrupts.calling(box.cancel, up_to_s=_CONTEXT_S):
                context = context_of(box, job.policy)
            if context is not None:
                loop.show(context)
        ended = loop.run(job.task) if past is None else loop.go_on(past, job.task)
        following.finish()
        return ended

    def _beginning(self) -> RunStarted | Resumed | Forked:
        job, past = self._job, self._past
        if past is not None and past.forked is not None:
            return past.forked
        if past is not None:
            return Resumed(
                model=self._model.name,
                version=version("moonpool"),
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
            version=version("moonpool"),
            pid=os.getpid(),
            instructions=job.briefing.instructions,
        )

    # -- afterwards ------------------------------------------------------------------------

    def _after(self, box: Box, ended: Conversation) -> Outcome:
        # Until the patch is written the container is all there is of the agent's work.
        self._container_left = box.id
        try:
            self._interrupts.unless_dropped()
            delivery = self._delivered(box)
        except ContainerGone as error:
            self._container_left = None
            self._quietly(ExportFailed(message=str(error)))
            return SandboxFailed(message=f"the patch can't be made: {error}")
        except (SandboxError, OSError) as error:
            self._quietly(ExportFailed(message=str(error)))
            return SandboxFailed(message=f"the patch can't be made: {error}")
        except Stop as signal:
            return Interrupted(signal=f"{signal.name}, before the patch was made")
        except Exception as error:  # noqa: BLE001 - as in `go`; and the container stays
            self._quietly(ExportFailed(message=repr(error)))
            OWN.error("a defect of Moonpool in the export", exc_info=error)
            return Crashed(message=f"a defect of Moonpool in the export: {error!r}")
        self._container_left = None
        self._delivery = delivery
        if delivery.refused:
            self._not_verified("the export gate refused the patch")
            return ExportRefused(findings=delivery.findings, before=ended)
        return self._verify(box, delivery.patch, ended)

    def _delivered(self, box: Box) -> Delivery:
        """Deliver; an engine that is away, as in a restart, is waited for."""
        begun = time.monotonic()
        told = False
        while True:
            try:
                with self._interrupts.shielded():
                    return self._deliver(box)
            except EngineUnavailable:
                patience = _LITTLE_PATIENCE_S if self._interrupts.at_once else _PATIENCE_S
                if time.monotonic() - begun > patience:
                    raise
            if not told:
                told = True
                words = f"the engine does not answer: waiting {_PATIENCE_S:.0f} s for it"
                self._quietly(Notice(text=words))
            with self._interrupts.shielded():
                time.sleep(_RETRY_S)

    def _deliver(self, box: Box) -> Delivery:
        started = time.monotonic()
        directory = self._record.directory
        patch = box.export(keep_old=directory / BASELINE, spare=directory)
        findings = gate.inspect(patch, self._job.policy, accepted=self._job.accepted_risks)
        refused = any(finding.refuses for finding in findings)
        digest = hashlib.sha256(patch.data).hexdigest()
        path = self._written(patch, refused=refused)
        delivery = Delivery(
            patch=patch,
            path=path,
            sha256=digest,
            findings=findings,
        )
        self._quietly(
            Exported(
                path=str(path),
                refused=refused,
                base_tree=patch.base_tree,
                tree=patch.tree,
                patch_sha256=digest,
                patch_bytes=len(patch.data),
                changes=tuple(delivery.changes()),
                left_out=patch.left_out,
                findings=findings,
                seconds=time.monotonic() - started,
            )
        )
        return delivery

    def _written(self, patch: Patch, *, refused: bool) -> Path:
        """Write the patch to the record, or where that can't be, to a directory of its own."""
        try:
            return self._record.write_patch(patch.data, refused=refused)
        except RecordError as error:
            directory = Path(tempfile.mkdtemp(prefix=f"moonpool-{self._job.run_id}-"))
            path = directory / (REFUSED_PATCH if refused else PATCH)
            path.write_bytes(patch.data)
            self._quietly(Notice(text=f"{error}; the patch is in {path}"))
            return path

    def _verify(self, box: Box, patch: Patch, ended: Conversation) -> Outcome:
        command = self._job.verify
        if command is None:
            return ended
        if not isinstance(ended, Finished | LimitReached | GaveUp | Refused):
            self._not_verified("the run was cut short")
            return ended
        self._quietly(Progress(text=f"verifying in a fresh container: {command}"))
        try:
            with self._interrupts.immediate():
                result = verify(box, patch, command, timeout_s=self._job.policy.limits.time_s)
        except Stop as signal:
            self._not_verified(f"interrupted by {signal.name}")
            return Interrupted(signal=f"{signal.name}, while verifying")
        self._verification = result
        self._quietly(VerificationEnded(result=result))
        if isinstance(result, Failed | NotRun) and isinstance(ended, Finished):
            return NotVerified(detail=verification.in_words(result))
        return ended

    def _not_verified(self, reason: str) -> None:
        if self._job.verify is not None:
            self._verification = NotRun(command=self._job.verify, reason=reason)
            self._quietly(VerificationEnded(result=self._verification))

    def _close(self, box: Box) -> None:
        if self._container_left is not None:
            self._quietly(
                Notice(
                    text=f"container {box.id[:12]} still stands, with the agent's work in it: "
                    f"`moonpool resume {self._job.run_id} --export-only` makes the patch"
                )
            )
            return
        try:
            with self._interrupts.shielded():
                box.close()
        except (SandboxError, Stop) as error:
            self._quietly(
                Notice(text=f"the container was not removed: {error}; see `moonpool prune`")
            )

    def _summary(self, outcome: Outcome) -> Summary:
        box = self._box
        summary = Summary(
            job=self._job,
            model=self._model.name,
            outcome=outcome,
            exit_code=self._exit_code(outcome),
            started=self._started,
            seconds=self._elapsed(),
            turns=self._meter.turns,
            used=self._meter.used,
            usd=self._meter.usd,
            usd_source=self._facts.source if self._facts.prices is not None else "",
            kernel_enforced=box.seal.kernel_enforced if box else None,
            seal=_fields(box.seal) if box else {},
            left_behind=box.left_behind if box else (),
            kernel_refusals=kernel_refusals(self.journal.log),
            delivery=self._delivery,
            verification=self._verification,
            container_left=self._container_left,
        )
        self._quietly(
            RunEnded(
                outcome=outcome,
                exit_code=summary.exit_code,
                container_left=self._container_left,
                used=summary.used,
                turns=summary.turns,
                seconds=summary.seconds,
                usd=summary.usd,
            )
        )
        return summary

    def _quietly(
        self,
        event: ConversationEnded
        | ExportFailed
        | Exported
        | Notice
        | Progress
        | RunEnded
        | VerificationEnded,
    ) -> None:
        """Tell, where a record that can't be written must not stop what is left to do."""
        with contextlib.suppress(RecordError):
            self.journal.tell(event)

    def _elapsed(self) -> float:
        return time.monotonic() - self._clock


def _fields(value: object) -> dict[str, object]:
    if not is_dataclass(value):
        return {}
    return {item.name: getattr(value, item.name) for item in fields(value)}
