"""One tool call, from what the model wrote to the result it reads.

unknown? ─► malformed? ─► decided (allow, ask, deny) ─► run in the box

Whatever stops a call on the way goes back to the model as an error result with what to do instead.
Only `SandboxError` and signals leave this module. What came of a call is in the journal's state.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, assert_never

from agent.conversation.change_tracking import ChangeTracker
from agent.conversation.prompts import NOT_MADE
from agent.interrupts import Interrupts
from agent.models.interface import Image, ToolUse
from agent.record.events.conversation import (
    ApprovalAnswered,
    CallEnded,
    CallRefused,
    CallStarted,
    KeptImage,
    WhyRefused,
)
from agent.record.events.kinds import OutputPiece, call_in_words
from agent.record.journal import Journal
from agent.tools import registry
from agent.tools.interface import MalformedError, Tool, ToolAnswer, ToolContext
from agent.tools.sandbox_protocol import SandboxProtocol
from policies.commands.rules import CommandRules
from policies.decision import (
    Allow,
    Approve,
    Approved,
    ApprovedBefore,
    Ask,
    Call,
    Decision,
    Declined,
    Deny,
    decide,
)
from policies.policy import Policy
from sandbox.errors import FileError


class ImageStore:
    """The images that the model of one run was shown."""

    def __init__(self, directory: Path | None, shown: Iterable[Image] = ()) -> None:
        """Args:
        directory: made when there is something to keep; None: nothing is kept.
        shown: what the model was shown before, by a process that ended.
        """
        self._directory = directory
        self._sizes = [len(image.data) for image in shown]
        self._kept: dict[str, Image] = {}

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of each image that was shown."""
        return tuple(self._sizes)

    def keep(self, image: Image) -> KeptImage:
        """Count an image as shown, and keep it.

        Raises:
            RecordError: it can't be written.
        """
        kept = KeptImage.of(image)
        if self._directory is not None:
            from agent.record.kept import keep_image  # noqa: PLC0415 - few runs show one

            keep_image(self._directory, image)
        self._sizes.append(len(image.data))
        self._kept[kept.sha256] = image
        return kept

    def recall(self, kept: KeptImage) -> Image | None:
        """An image that this process has kept."""
        return self._kept.get(kept.sha256)


@dataclass(kw_only=True, eq=False)
class ToolExecutor:
    """Runs the calls of one run in its sandbox, in order."""

    box: SandboxProtocol
    policy: Policy
    approve: Approve
    interrupts: Interrupts
    journal: Journal
    tracker: ChangeTracker | None = None
    """Is told of each call that was made; None: nobody asks later who wrote what."""
    image_store: ImageStore = field(default_factory=lambda: ImageStore(None))
    """Of the images that the model is shown."""
    tools: Mapping[str, Tool[Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.tools = registry.offered(self.policy)

    @property
    def _next(self) -> int:
        """Number of the call that is to be made."""
        return self.journal.state.conversation.calls + 1

    def make(self, use: ToolUse, *, left_s: float) -> None:
        """Make one call. Raises SandboxError where the run can't go on."""
        if use.problem is not None:
            return self.skip(use, "torn", f"Nothing ran: {use.problem}")
        tool = self.tools.get(use.name)
        if tool is None:
            text = f"There is no tool {use.name!r} here; there are: {', '.join(self.tools)}."
            return self.skip(use, "unknown tool", text)
        try:
            tool.decode(use.arguments)
        except MalformedError as error:
            return self.skip(use, "malformed", str(error))
        call = Call(tool=use.name, arguments=use.arguments)
        decision = decide(self.policy, call)
        match decision:
            case Deny():
                text = f"Denied ({decision.rule}): {decision.reason}"
                return self.skip(use, "denied", text, decision)
            case Ask():
                refusal = self._ask(call, decision)
                if refusal is not None:
                    text = f"Not run ({decision.rule}): {refusal}. {decision.reason}"
                    return self.skip(use, "not approved", text, decision)
            case Allow():
                pass
            case _:
                assert_never(decision)
        return self._run(use, tool, decision, left_s)

    def broken_off(self, use: ToolUse, text: str) -> None:
        """Answer the call that a signal came out of: it was begun, or only asked about, or over."""
        state = self.journal.state.conversation
        if state.running is not None:
            self.doubt(state.running, text)
        elif any(other is use for other in state.unanswered):
            self.skip(use, "stopped", NOT_MADE)

    def doubt(self, begun: CallStarted, text: str) -> None:
        """Answer a call that another process started and did not see the end of."""
        self.journal.emit(
            CallEnded(
                number=begun.number,
                tool_use_id=begun.tool_use_id,
                tool=begun.tool,
                is_error=True,
                exit_code=None,
                ending=None,
                seconds=0.0,
                text=text,
                brief="in doubt: it may have been done or not",
            )
        )

    def _ask(self, call: Call, ask: Ask) -> str | None:
        """Why the call may not be made; None: it may."""
        answer = self.approve(call, ask)
        said: Literal["approved", "approved before", "declined"] = "declined"
        refusal: str | None = None
        match answer:
            case Declined():
                refusal = answer.reason
            case Approved() | ApprovedBefore() if answer.digest != ask.digest:
                refusal = "the approval was for another call"
            case Approved():
                said = "approved"
            case ApprovedBefore():
                said = "approved before"
        self.journal.emit(ApprovalAnswered(number=self._next, digest=ask.digest, answer=said))
        return refusal

    def _run(self, use: ToolUse, tool: Tool[Any], decision: Decision, left_s: float) -> None:
        number = self._next
        self.journal.emit(
            CallStarted(
                number=number,
                tool_use_id=use.id,
                tool=use.name,
                arguments=use.arguments,
                decision=decision,
            )
        )
        setting = ToolContext(
            left_s=left_s,
            limits=self.policy.limits,
            instead=lambda program: CommandRules(self.policy).instead(program),
            shown_images=self.image_store.sizes,
            on_output=lambda stream, data: self.journal.emit(OutputPiece(stream=stream, data=data)),
        )
        started = time.monotonic()
        try:
            longest_s = min(setting.limits.command_timeout_s, left_s)
            with self.interrupts.calling(self.box.cancel, up_to_s=longest_s):
                answer = tool.call(use.arguments, self.box, setting)
        except FileError as error:
            # The kernel's words leave out what they are about.
            words = f"{call_in_words(use.name, use.arguments)}: {error}"
            answer = ToolAnswer(text=words, brief=str(error), is_error=True, refused=error.refused)
        kept = tuple(self.image_store.keep(image) for image in answer.images)
        self.journal.emit(
            CallEnded(
                number=number,
                tool_use_id=use.id,
                tool=use.name,
                is_error=answer.is_error,
                exit_code=answer.exit_code,
                ending=answer.ending,
                seconds=time.monotonic() - started,
                text=answer.text,
                brief=answer.brief,
                refused=answer.refused,
                limits=answer.limits,
                images=kept,
            )
        )
        if self.tracker is not None:
            background = use.arguments.get("background") is True
            self.tracker.after(number, use.name, background=background)

    def skip(
        self, use: ToolUse, why: WhyRefused, text: str, decision: Decision | None = None
    ) -> None:
        """Answer a call that is not made, so that the history stays one a provider takes."""
        self.journal.emit(
            CallRefused(
                number=self._next,
                tool_use_id=use.id,
                tool=use.name,
                arguments=use.arguments,
                why=why,
                decision=decision,
                text=text,
            )
        )
