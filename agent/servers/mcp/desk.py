"""What a client may have done in its sandbox, done in the thread of that sandbox's run.

A client stands where a model stands otherwise: each call of a tool is told as a reply that asks for
it, then decided, run and recorded as any model's call is (`agent.conversation.tool_calls`). So
`moonpool review`, `show`, `blame` and `apply` know of a client's work what they know of any run's.
"""

import json
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path

from agent.conversation.budget import BudgetReached
from agent.lifecycle.patch_so_far import PatchSoFar, Preview
from agent.lifecycle.session import RunSession
from agent.models.interface import (
    AssistantMessage,
    Image,
    Reply,
    StopReason,
    ToolResult,
    ToolUse,
    Usage,
)
from agent.record.events.conversation import CallEnded, CallRefused, ModelReplied
from agent.risk.finding import Finding
from agent.untrusted_text import one_line, path_text
from agent.verification import Verification, verify
from policies.decision import Answered, Ask, Call, Declined, Deny, decide
from policies.errors import first_lines
from policies.file.scalars import spelled_size
from policies.frozen import dataclass
from sandbox.errors import ContainerGone, SandboxError
from sandbox.patch.values import Change
from sandbox.results import BackgroundStatus

_ROUSE_S = 60.0
_FINDINGS = 20
SO_FAR = "preview.diff"
"""In the record: the patch so far, as it was exported last."""
SO_FAR_REFUSED = "preview.refused.diff"
"""The same, where the export gate refuses it."""

STARTED_AGAIN = (
    "[the sandbox's command server was started again: the workspace is as it was; files in /tmp "
    "may be gone, the working directory and exported variables are reset, and background processes "
    "are ended]"
)


class RequestRefused(Exception):
    """A request that is not served; the message is for the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReport:
    """What one call of a tool came to."""

    ended: CallEnded | CallRefused
    images: tuple[Image, ...] = ()
    note: str = ""
    """What happened to the sandbox before it; empty: nothing."""


class Desk:
    """Serves one sandbox's requests, one at a time, in the thread of its run."""

    def __init__(self, session: RunSession, *, record_bytes: int) -> None:
        self.session = session
        self.patch = PatchSoFar(session=session, started_again=self._started_again)
        self.answered: Answered | None = None
        """What a person said to the request that is served now; None: nobody was asked."""
        self._calls = 0
        self._record_bytes = record_bytes
        self._bytes = 0
        self._roused = time.monotonic()
        self._note = ""
        self._report: CallReport | None = None

    def approve(self, _call: Call, _ask: Ask) -> Answered:
        """What was answered before the request came here: for that exact call, or none."""
        return self.answered or Declined(reason="nobody was asked for their approval")

    def call(self, tool: str, arguments: Mapping[str, object]) -> CallReport:
        """Have a tool called, as a model would. What came of it is told as an event, too, before
        the files are looked at.

        Raises:
            RequestRefused: the sandbox takes no more calls.
            SandboxError: it can't go on.
        """
        session = self.session
        self._bytes += len(json.dumps(arguments))
        if self._bytes > self._record_bytes:
            most = spelled_size(self._record_bytes)
            raise RequestRefused(
                f"the calls of this sandbox came to more than {most}, and it takes no more: close "
                "it, and go on in another"
            )
        if session.budget.left_s <= 0:
            raise BudgetReached(session.budget.out_of_time())
        self._rouse()
        self._calls += 1
        self._report = None
        session.budget.add(Usage())
        use = ToolUse(id=f"call-{self._calls}", name=tool, arguments=arguments)
        session.journal.emit(
            ModelReplied(
                turn=self._calls,
                reply=Reply(
                    message=AssistantMessage(blocks=(use,)),
                    stop=StopReason.TOOL_USE,
                    usage=Usage(),
                ),
                seconds=0.0,
                used=session.budget.used,
                usd=session.budget.usd,
            )
        )
        session.calls.make(use, left_s=session.budget.left_s)
        if self._report is None:
            raise AssertionError("a call that was made has ended or was refused")
        return self._report

    def reported(self, event: CallEnded | CallRefused) -> CallReport:
        """A call that just ended, for its client."""
        self._bytes += len(event.text)
        note, self._note = self._note, ""
        newest = self.session.journal.state.conversation.history[-1].blocks[-1]
        images = newest.images if isinstance(newest, ToolResult) else ()
        self._bytes += sum(len(image.data) for image in images)
        self._report = CallReport(ended=event, images=images, note=note)
        return self._report

    def poll(self, process: int) -> BackgroundStatus:
        """Raises FileMissing where there is no such process."""
        with self.patch.at_the_box():
            return self.session.box.poll(process)

    def stop(self, process: int) -> BackgroundStatus:
        """As `poll`, of a process that is ended first."""
        with self.patch.at_the_box():
            return self.session.box.stop(process)

    def preview(self) -> Preview:
        """Raises: as `PatchSoFar.preview`, and RequestRefused where it can't be made now."""
        with _now():
            return self.patch.preview()

    def export(self) -> tuple[Preview, Path]:
        """The patch so far, and where it was written. Raises: as `preview`, and RecordError."""
        taken = self.preview()
        name = SO_FAR_REFUSED if taken.refused else SO_FAR
        return taken, self.session.record.write_patch(name, taken.patch.data)

    def apply(self) -> tuple[Change, ...]:
        """Have the workspace on the host be as the sandbox is; gives what that changed there.

        Raises:
            RequestRefused: the gate refuses the patch, or it does not fit. Nothing was changed.
        """
        with _now():
            taken = self.patch.to_apply()
            if taken.refused:
                words = refusals_in_words(taken.findings)
                raise RequestRefused(
                    f"the export gate refuses the patch, nothing is applied:\n{words}"
                )
            return self.patch.apply(taken)

    def verify(self, command: str | None) -> Verification:
        """Run a command in a fresh container with the patch so far.

        Args:
            command: the client's, which the policy decides as any; None: the operator's own.

        Raises:
            RequestRefused: there is none, or the policy does not let it run.
        """
        job = self.session.job
        if command is not None:
            self._permit(command)
        chosen = job.verify if command is None else command
        if chosen is None:
            raise RequestRefused("name a command: the operator gave none with --verify")
        limits = job.policy.limits
        longest_s = limits.time_s if command is None else limits.command_timeout_s
        return verify(
            self.session.box,
            self.preview().patch,
            chosen,
            timeout_s=min(longest_s, max(1.0, self.session.budget.left_s)),
            ended_by=self.session.interrupts.ended_by,
        )

    def _permit(self, command: str) -> None:
        decision = decide(
            self.session.job.policy_inside, Call(tool="bash", arguments={"command": command})
        )
        match decision:
            case Deny():
                raise RequestRefused(f"Denied ({decision.rule}): {decision.reason}")
            case Ask():
                raise RequestRefused(
                    f"Not run ({decision.rule}): what needs a person's approval is not run to "
                    "verify; run it in the sandbox itself"
                )
            case _:
                pass

    def _rouse(self) -> None:
        """Have the sandbox live on, now and then: its time is counted from when it was asked."""
        now = time.monotonic()
        if now - self._roused > _ROUSE_S:
            with self.patch.at_the_box():
                self._roused = now

    def _started_again(self) -> None:
        self._note = STARTED_AGAIN


@contextmanager
def _now() -> Generator[None]:
    """Inside, a patch that can't be made is a refusal, which ends nothing."""
    try:
        yield
    except ContainerGone:
        raise
    except SandboxError as error:
        raise RequestRefused(str(error)) from error


def refusals_in_words(findings: Iterable[Finding]) -> str:
    """A line for each finding that refuses, bounded."""
    lines = (
        one_line(f"{finding.id}: {path_text(finding.path)}: {finding.reason}", 400)
        for finding in findings
        if finding.refuses
    )
    return "\n".join(f"- {line}" for line in first_lines(lines, _FINDINGS))
