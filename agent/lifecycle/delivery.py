"""What becomes of a sandbox's work when nobody is asked anything any more.

patch, proved as it is made ─► gate ─► verified on a fresh copy ─► a second opinion, where one is
wanted ─► the container removed

Owns the order of these and what happens where one fails: until the patch is written the container
is all there is of the agent's work, so it stays, and the last words say how to get at it. Refuses
to know how the conversation went.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from agent import verification
from agent.errors import RecordError
from agent.interrupts import Interrupts, SignalReceived
from agent.lifecycle.job import Job
from agent.record.events.kinds import Progress
from agent.record.events.lifecycle import Exported, ExportFailed, Notice, VerificationEnded
from agent.record.journal import Journal
from agent.record.outcome import (
    Conversation,
    Crashed,
    ExportRefused,
    Finished,
    GaveUp,
    Interrupted,
    LimitReached,
    NotVerified,
    Outcome,
    Refused,
    SandboxFailed,
)
from agent.record.run_log import OWN
from agent.record.run_state import entries_of
from agent.record.store import BASELINE, PATCH, REFUSED_PATCH, STEPS, RunRecord
from agent.record.summary import DeliveredPatch
from agent.risk import gate
from agent.tools.sandbox_protocol import SandboxProtocol
from agent.verification import Failed, NotRun, verify
from sandbox.errors import ContainerGone, EngineUnavailable, SandboxError
from sandbox.git.store import Store
from sandbox.patch.make import INDEX_PATCH
from sandbox.patch.values import Patch

if TYPE_CHECKING:
    from agent.conversation.budget import Budget
    from agent.review.opinion.asking import Reviewer

_PATIENCE_S = 60.0
"""How long an engine that went away is waited for, with the agent's work in it."""
_LITTLE_PATIENCE_S = 4.0
"""How long it is waited for where the operator, or what supervises us, wants the end at once."""
_RETRY_S = 0.5


class ExportOptions(TypedDict):
    """Where a patch of this run is made, and what is kept for its review."""

    keep_old: Path
    spare: Path
    compared: frozenset[bytes]


@dataclass(kw_only=True, eq=False)
class Delivery:
    """The way out of one run, once. What came of it is told, and in the last two fields."""

    job: Job
    record: RunRecord
    journal: Journal
    interrupts: Interrupts
    reviewer: "Reviewer | None" = None
    delivery: DeliveredPatch | None = None
    """None where no patch could be made."""
    container_left: str | None = None
    """Id of the container, where it still stands because its patch could not be made."""

    def __call__(self, box: SandboxProtocol, ended: Conversation, budget: "Budget") -> Outcome:
        """Export, verify and review, then remove the container if its patch is made.

        Args:
            budget: the run's, from which a second opinion is paid.
        """
        outcome = self._reviewed(box, self._after(box, ended), ended, budget)
        self._close(box)
        return outcome

    def early(self, box: SandboxProtocol) -> DeliveredPatch:
        """Export what stands now; nothing is verified, and the container stays.

        Raises:
            SandboxError, OSError: the patch can't be made.
        """
        return self._deliver(lambda: box.export(**self._places()))

    def _after(self, box: SandboxProtocol, ended: Conversation) -> Outcome:
        # Until the patch is written the container is all there is of the agent's work.
        self.container_left = box.id
        try:
            self.interrupts.unless_dropped()
            delivery = self._delivered(box)
        except (SandboxError, OSError) as error:
            if isinstance(error, ContainerGone):
                self.container_left = None
            failed = SandboxFailed(message=str(error), cause=type(error).__name__)
            return self._in_part(box, failed, "the container could not be read")
        except SignalReceived as signal:
            return _dropped(signal)
        except Exception as error:  # noqa: BLE001 - as in `go`; and the container stays
            OWN.error("a defect of Moonpool in the export", exc_info=error)
            crashed = Crashed(message=f"a defect of Moonpool in the export: {error!r}")
            return self._in_part(box, crashed, "the patch is not the whole one")
        self.container_left = None
        self.delivery = delivery
        if delivery.refused:
            self._not_verified("the export gate refused the patch")
            return ExportRefused(findings=delivery.findings, before=ended)
        return self._verify(box, delivery.patch, ended)

    def _in_part(
        self, box: SandboxProtocol, failed: SandboxFailed | Crashed, unverified: str
    ) -> Outcome:
        """Where the whole can't be had, the patch has what the calls were seen to change. After a
        defect of ours the container stays, with the rest."""
        try:
            delivery, words = self._tracked(box)
        except SignalReceived as signal:
            return _dropped(signal)
        except Exception as error:  # noqa: BLE001 - after a defect the same one, most likely
            self.journal.quietly(ExportFailed(message=f"{failed.message}; {error}"))
            if isinstance(failed, Crashed):
                return failed
            return replace(failed, message=f"the patch can't be made: {failed.message}")
        self._not_verified(unverified)
        failed = replace(failed, message=f"{failed.message}. {words}")
        if delivery.refused:
            return ExportRefused(findings=delivery.findings, before=failed)
        return failed

    def _tracked(self, box: SandboxProtocol) -> tuple[DeliveredPatch, str]:
        """Deliver what the calls were seen to change; and what a person must know of it.

        Raises:
            SandboxError, RecordError, OSError: not even that patch can be made.
        """
        files = self.journal.state.files
        steps = self.record.directory / STEPS

        def of_tracked() -> Patch:
            entries = entries_of(files.checked(), Store(steps))
            return box.export_tracked(entries, steps, left_out=files.left_out(), **self._places())

        with self.interrupts.shielded():
            self.delivery = delivery = self._deliver(of_tracked)
        seen = f"up to call {files.last}" if files.last else "from the start: no call was looked at"
        calls = self.journal.state.conversation.calls
        return delivery, (
            f"The patch has what was seen to change {seen}"
            + (f" of {calls}" if files.last else "")
            + "; what was done after that is missing"
            + (f" ({files.unknown})" if files.unknown else "")
        )

    def _delivered(self, box: SandboxProtocol) -> DeliveredPatch:
        """Deliver; an engine that is away, as in a restart, is waited for."""
        begun = time.monotonic()
        told = False
        while True:
            try:
                with self.interrupts.shielded():
                    return self._deliver(lambda: box.export(**self._places()))
            except EngineUnavailable:
                patience = _LITTLE_PATIENCE_S if self.interrupts.at_once else _PATIENCE_S
                if time.monotonic() - begun > patience:
                    raise
            if not told:
                told = True
                words = f"the engine does not answer: waiting {_PATIENCE_S:.0f} s for it"
                self.journal.quietly(Notice(text=words))
            with self.interrupts.shielded():
                time.sleep(_RETRY_S)

    def _places(self) -> ExportOptions:
        directory = self.record.directory
        return {"keep_old": directory / BASELINE, "spare": directory, "compared": gate.COMPARED}

    def _deliver(self, export: Callable[[], Patch]) -> DeliveredPatch:
        started = time.monotonic()
        patch = export()
        findings = gate.inspect(patch, self.job.policy, accepted=self.job.accepted_risks)
        refused = any(finding.refuses for finding in findings)
        digest = hashlib.sha256(patch.data).hexdigest()
        path = self._written(REFUSED_PATCH if refused else PATCH, patch.data)
        index = None if refused else patch.index
        stored = index.data if index is not None else None
        delivery = DeliveredPatch(
            patch=patch,
            path=path,
            sha256=digest,
            findings=findings,
        )
        self.journal.quietly(
            Exported(
                path=str(path),
                refused=refused,
                base_tree=patch.base_tree,
                tree=patch.tree,
                patch_sha256=digest,
                patch_bytes=len(patch.data),
                index_patch=None if stored is None else str(self._written(INDEX_PATCH, stored)),
                index_patch_sha256=None if stored is None else hashlib.sha256(stored).hexdigest(),
                git_note=None if index is None else index.note,
                changes=tuple(delivery.changes()),
                left_out=patch.left_out,
                findings=findings,
                seconds=time.monotonic() - started,
            )
        )
        return delivery

    def _written(self, name: str, data: bytes) -> Path:
        """Write a patch to the record, or where that can't be, to a directory of its own."""
        try:
            return self.record.write_patch(name, data)
        except RecordError as error:
            directory = Path(tempfile.mkdtemp(prefix=f"moonpool-{self.job.run_id}-"))
            path = directory / name
            path.write_bytes(data)
            self.journal.quietly(Notice(text=f"{error}; the patch is in {path}"))
            return path

    def _verify(self, box: SandboxProtocol, patch: Patch, ended: Conversation) -> Outcome:
        command = self.job.verify
        if command is None:
            return ended
        if not isinstance(ended, Finished | LimitReached | GaveUp | Refused):
            self._not_verified("the run was cut short")
            return ended
        self.journal.quietly(Progress(text=f"verifying in a fresh container: {command}"))
        try:
            with self.interrupts.immediate():
                result = verify(
                    box,
                    patch,
                    command,
                    timeout_s=self.job.policy.limits.time_s,
                    ended_by=self.interrupts.ended_by,
                    files=self.job.verifier,
                )
        except SignalReceived as signal:
            self._not_verified(f"interrupted by {signal.name}")
            return Interrupted(signal=f"{signal.name}, while verifying")
        except Exception as error:  # noqa: BLE001 - as in the export; and the patch is there already
            OWN.error("a defect of Moonpool in the verification", exc_info=error)
            result = NotRun(command=command, reason=f"a defect of Moonpool: {error!r}")
        self.journal.quietly(VerificationEnded(result=result))
        if isinstance(result, Failed | NotRun) and isinstance(ended, Finished):
            return NotVerified(detail=verification.reason(result))
        return ended

    def _not_verified(self, reason: str) -> None:
        if self.job.verify is not None:
            result = NotRun(command=self.job.verify, reason=reason)
            self.journal.quietly(VerificationEnded(result=result))

    def _reviewed(
        self, box: SandboxProtocol, outcome: Outcome, ended: Conversation, budget: "Budget"
    ) -> Outcome:
        """How the run ends once its patch has a second opinion, where the policy wants one."""
        delivery, rules = self.delivery, self.job.policy.review
        # A ceiling of today may require one of a run whose policy named nobody.
        wanted = rules.model is not None or rules.require is not None
        if not wanted or delivery is None or not delivery.patch.changes:
            return outcome
        from agent.review.opinion.conclusion import PatchReview  # noqa: PLC0415 - few runs have one

        review = PatchReview(
            task=self.job.task,
            policy=self.job.policy_inside,
            accepted_risks=self.job.accepted_risks,
            reviewer=self.reviewer,
            interrupts=self.interrupts,
            journal=self.journal,
        )
        self.delivery, outcome = review.concluded(box, delivery, outcome, ended, budget)
        return outcome

    def _close(self, box: SandboxProtocol) -> None:
        if self.container_left is not None:
            self.journal.quietly(
                Notice(
                    text=f"container {box.id[:12]} still stands, with the agent's work in it: "
                    f"`moonpool resume {self.job.run_id} --export-only` makes the patch"
                )
            )
            return
        try:
            with self.interrupts.shielded():
                box.close()
        except (Exception, SignalReceived) as error:  # noqa: BLE001 - as above: it ends well
            self.journal.quietly(
                Notice(text=f"the container was not removed: {error}; see `moonpool prune`")
            )


def _dropped(signal: SignalReceived) -> Interrupted:
    return Interrupted(signal=f"{signal.name}, before the patch was made")
