"""A chat: several requests in one session, and what its person does between them.

Owns what each request needs before and after (a sandbox that lives, a mark to go back to, the
waiting that costs no time), and taking the patch so far. Refuses to know the terminal.

A request that ends for whatever reason ends alone: another may be served, by a service that is back
or with what is left of the budget. Only a sandbox that can't go on ends the chat.
"""

import hashlib
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agent.cli.chat.undo_text import to_model
from agent.conversation.change_tracking import RestorePoint
from agent.lifecycle.session import RunSession
from agent.record.applied_patch import AppliedPatch
from agent.record.events.lifecycle import RequestAwaited
from agent.record.events.workspace import PatchApplied
from agent.record.outcome import NOTHING_ASKED, Conversation
from agent.risk import gate
from agent.risk.compared_files import COMPARED
from agent.risk.finding import Finding
from agent.untrusted_text import one_line
from policies.frozen import dataclass
from sandbox.apply.directory import apply_patch
from sandbox.errors import PatchError
from sandbox.patch.values import Change, Patch
from sandbox.restore.mark import Restored

_OLD = "applying"
"""Directory in the record for the old side of what is about to be applied."""
_UP_TO_S = 60.0

_STARTED_AGAIN = (
    "The sandbox's command server was started again: the workspace is as it was; files in /tmp may "
    "be gone, the working directory and exported variables are reset, and background processes are "
    "ended."
)
_UNDONE = "The person took back your work on their request number {number} ({words!r})."
_WORDS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The patch so far, as the gate sees it."""

    patch: Patch
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> bool:
        return any(finding.refuses for finding in self.findings)


class Chat:
    """One chat in one session. Mutable: it remembers the requests."""

    def __init__(self, session: RunSession) -> None:
        self.session = session
        self.last: Conversation = NOTHING_ASKED
        """How the newest request ended, and with it the chat if it is left now."""
        self._requests = 0
        self._points: list[tuple[int, str, RestorePoint]] = []
        self._await()

    def ask(self, text: str) -> Conversation:
        """Make a request; every way to end is a value.

        Raises:
            SandboxError: the sandbox can't go on, and the chat neither.
        """
        session = self.session
        with self._at_the_box():
            point = session.tracker.point()
        self._requests += 1
        self._points.append((self._requests, one_line(text, _WORDS), point))
        self.last = session.loop.ask(text)
        self._heard_out()
        session.tracker.finish()
        self._await()
        return self.last

    def undo(self) -> tuple[int, Restored] | None:
        """Have the files go back to before the newest request that is not undone; its number, and
        what came of it. None: there is none.

        Raises:
            FileError: that state was not kept; nothing was touched.
            SandboxError: as for `ask`.
        """
        if not self._points:
            return None
        session = self.session
        number, words, point = self._points[-1]
        with self._at_the_box():
            restored = session.tracker.go_back(point)
        self._points.pop()
        undone = _UNDONE.format(number=number, words=words)
        # As much an order as the request was: who is told that again is told this too.
        session.loop.inform(f"{undone} {to_model(restored)}", "undone")
        return number, restored

    def preview(self, *, keep_old: Path | None = None) -> Preview:
        """The patch of what stands now. What runs in the sandbox goes on.

        Raises:
            SandboxError: it can't be made.
        """
        session = self.session
        with self._at_the_box():
            patch = session.box.preview(keep_old=keep_old, compared=COMPARED)
        findings = gate.inspect(patch, session.job.policy, accepted=session.job.accepted_risks)
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
        return apply_patch(rest, self._directory(), check=True).changes if rest else ()

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
        changes = apply_patch(rest, self._directory(), check=False).changes if rest else ()
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

    def _await(self) -> None:
        self.session.journal.emit(RequestAwaited(outcome=self.last))

    @contextmanager
    def _at_the_box(self) -> Generator[None]:
        """Inside, the sandbox is asked: it lives, and only the second SIGINT breaks that off."""
        session = self.session
        try:
            with session.interrupts.calling(lambda: None, up_to_s=_UP_TO_S):
                if session.box.rouse():
                    session.loop.inform(_STARTED_AGAIN)
                yield
        finally:
            self._heard_out()

    def _heard_out(self) -> None:
        """After a signal an answer may stand half read in the stream: then there is no other."""
        if self.session.interrupts.broken_off:
            self.session.box.break_off()
