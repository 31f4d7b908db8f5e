"""The patch of a run that goes on: looked at, written out, applied to the workspace.

Owns taking it from a sandbox in which work goes on. What is applied a second time is only what is
new since the first. Refuses to know who asks for it (`agent.cli.chat`, `agent.servers`).
"""

import hashlib
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from agent.lifecycle.session import RunSession
from agent.record.applied_patch import AppliedPatch
from agent.record.events.lifecycle import PatchApplied
from agent.risk import gate
from agent.risk.finding import Finding, ordered
from agent.risk.opinion import NoOpinion, finding_of
from policies.frozen import dataclass
from sandbox.apply.directory import apply_patch
from sandbox.errors import PatchError
from sandbox.patch.values import Change, Patch

_OLD = "applying"
"""Directory in the record for the old side of what is about to be applied."""
_UP_TO_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The patch so far, as the gate sees it."""

    patch: Patch
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> bool:
        return any(finding.refuses for finding in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSoFar:
    """That of one session, for the thread that the session is in."""

    session: RunSession
    started_again: Callable[[], None]
    """Is called where the sandbox had to be started again."""

    def preview(self, *, keep_old: Path | None = None) -> Preview:
        """The patch of what stands now. What runs in the sandbox goes on.

        Raises:
            SandboxError: it can't be made.
        """
        session = self.session
        with self.at_the_box():
            patch = session.box.preview(keep_old=keep_old, compared=gate.COMPARED)
        job = session.job
        findings = gate.inspect(patch, job.policy, accepted=job.accepted_risks)
        rules = job.policy.review
        if patch.changes and rules.require is not None:
            none = NoOpinion(
                model=rules.model or "anybody", reason="it is asked for at the end of the run"
            )
            awaited = finding_of(none, required=True, accepted=job.accepted_risks)
            findings = ordered((*findings, *([] if awaited is None else [awaited])))
        return Preview(patch=patch, findings=findings)

    def to_apply(self) -> Preview:
        """The patch so far, with the old files that `apply` needs."""
        old = self.session.record.directory / _OLD
        shutil.rmtree(old, ignore_errors=True)
        return self.preview(keep_old=old)

    def would_change(self, taken: Preview) -> tuple[Change, ...]:
        """What `apply` would change in the workspace: of what was applied before, only what is new,
        and what was taken back since.

        Raises:
            PatchError: it does not fit.
        """
        rest = self._rest(taken)
        return apply_patch(rest, self._directory(), check=True)

    def apply(self, taken: Preview) -> tuple[Change, ...]:
        """Have the workspace be as the sandbox was when `taken` was: what of it is new since the
        last time is applied, all or nothing. Gives what that changed.

        Raises:
            PatchError: it does not fit, or the gate refused it. Nothing was changed.
        """
        if taken.refused:
            raise AssertionError("a patch that the gate refused is not applied")
        session = self.session
        data = taken.patch.data
        applied = AppliedPatch.of(session.record.directory)
        old = session.record.directory / _OLD
        rest = self._rest(taken)
        changes = apply_patch(rest, self._directory(), check=False)
        if changes:
            applied.keep(data, old)
            session.journal.emit(
                PatchApplied(
                    directory=str(session.job.workspace),
                    patch_sha256=hashlib.sha256(data).hexdigest(),
                    changes=changes,
                )
            )
        shutil.rmtree(old, ignore_errors=True)
        return changes

    @contextmanager
    def at_the_box(self) -> Generator[None]:
        """Inside, the sandbox is asked: it lives, and only the second SIGINT breaks that off."""
        session = self.session
        try:
            with session.interrupts.calling(lambda: None, up_to_s=_UP_TO_S):
                if session.box.rouse():
                    self.started_again()
                yield
        finally:
            self.heard_out()

    def heard_out(self) -> None:
        """After a signal an answer may stand half read in the stream: then there is no other."""
        if self.session.interrupts.broken_off:
            self.session.box.break_off()

    def _directory(self) -> Path:
        """Raises `PatchError` where the workspace is a folder of an image."""
        job = self.session.job
        if isinstance(job.workspace, Path):
            return job.workspace
        raise PatchError(
            f"the workspace {job.workspace} is a folder of its image, and nothing is applied "
            f"there: afterwards, moonpool apply {job.run_id} -w DIR"
        )

    def _rest(self, taken: Preview) -> bytes:
        directory = self.session.record.directory
        return AppliedPatch.of(directory).rest(taken.patch.data, directory / _OLD)
