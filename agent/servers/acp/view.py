"""What happens in a run, as an editor is told: text, thoughts, plan, tool calls with their diffs.

Owns the translation, for a run that goes on and for one that is told again from its record. Refuses
to know how anything is sent.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from acp.helpers import (
    plan_entry,
    start_tool_call,
    text_block,
    tool_content,
    tool_diff_content,
    update_agent_message_text,
    update_agent_thought_text,
    update_plan,
    update_tool_call,
    update_user_message_text,
)
from acp.schema import ContentToolCallContent, FileEditToolCallContent, ToolCallLocation

from agent.models.interface import Opaque
from agent.models.interface import Text as ModelText
from agent.record.events.conversation import (
    CallEnded,
    CallRefused,
    CallStarted,
    ContextShown,
    HistorySummarised,
    ModelReplied,
    ModelRetry,
    ResultsCleared,
    ResultsShortened,
    UserMessageAdded,
)
from agent.record.events.kinds import (
    Event,
    OutputPiece,
    Progress,
    TextDiscarded,
    TextPiece,
    ThinkingPiece,
    call_in_words,
    shown_in_words,
    spending_in_words,
)
from agent.record.events.lifecycle import Notice, PatchApplied, SandboxReady
from agent.record.events.recorded import RecordedModel
from agent.servers.acp.diffs import FileDiffs, ShownChanges
from agent.servers.acp.markup import ModelWords, fenced, title, without_pictures
from agent.servers.acp.outbox import Update
from agent.tools.registry import PlanArguments, PlanStatus
from agent.untrusted_text import decode, one_line, path_text
from policies.errors import listed
from policies.paths import WORKSPACE

Tell = Callable[[Update], None]
Kind = Literal["read", "edit", "delete", "search", "execute", "other"]

_KINDS: Mapping[str, Kind] = {
    "bash": "execute",
    "read_file": "read",
    "list_dir": "read",
    "search_files": "search",
    "write_file": "edit",
    "edit_file": "edit",
    "delete_file": "delete",
}
_STATUS: Mapping[PlanStatus, Literal["pending", "in_progress", "completed"]] = {
    PlanStatus.PENDING: "pending",
    PlanStatus.IN_PROGRESS: "in_progress",
    PlanStatus.DONE: "completed",
}
_TITLE = 300
_TAIL_BYTES = 8192
_OUTPUT_EVERY_S = 0.25
"""Output of a running command is sent no more often: each time it is all of its tail."""
_NAMED = 12
_REMEMBERED = 200
"""Calls whose text is kept for when their diffs come."""


def call_id(number: int) -> str:
    """A call of a run, as the protocol names it."""
    return f"call-{number}"


class EditorView:
    """Tells one client of one run. Mutable: it knows which calls were told."""

    def __init__(self, tell: Tell, place: Path, diffs: FileDiffs) -> None:
        """Args:
        place: the workspace, by the editor's name for it.
        """
        self._tell = tell
        self._place = place
        self._diffs = diffs
        self._told: dict[str, str] = {}
        """Call to what was last shown of it, as text."""
        self._streamed = False
        self._words, self._thoughts = ModelWords(), ModelWords()
        self._tail = b""
        self._running = ""
        self._sent = 0.0

    def say(self, text: str) -> None:
        """A message to the person, as Markdown."""
        self._tell(update_agent_message_text(text))

    def note(self, text: str) -> None:
        """Something beside the work, on a line of its own."""
        self._tell(update_agent_thought_text(f"{without_pictures(text)}\n"))

    def again(self, event: Event) -> None:
        """As `show`, of what happened before: the person's own words are told too."""
        if isinstance(event, UserMessageAdded) and event.what == "request":
            # With what the editor sent along, which is a file's.
            self._tell(update_user_message_text(without_pictures(event.text)))
        self.show(event)

    def show(self, event: Event, _line: str | None = None) -> None:
        """Tell of one event. It may be of any kind; of most there is nothing to tell."""
        match event:
            case TextPiece():
                self._streamed = True
                self.say(self._words.piece(event.text))
            case ThinkingPiece():
                self._break_off()
                self._tell(update_agent_thought_text(self._thoughts.piece(event.text)))
            case TextDiscarded():
                self._break_off()
                if self._streamed:
                    self.say("\n\n*[that answer broke off; it comes again]*\n\n")
                self._next_message()
            case ModelReplied():
                self._replied(event)
            case CallStarted() | OutputPiece() | CallEnded() | CallRefused():
                self._call(event)
            case SandboxReady():
                self._ready(event)
            case _:
                self._beside(event)
        if isinstance(event, RecordedModel):
            changes = self._diffs.after(event)
            if changes is not None:
                self._changed(getattr(event, "last", 0), changes)

    def asks(self, number: int, tool: str, arguments: Mapping[str, object]) -> None:
        """A call waits for the person's answer."""
        self._announce(number, tool, arguments, status="pending")

    # -- events ----------------------------------------------------------------------------

    def _beside(self, event: Event) -> None:
        match event:
            case Progress():
                self.note(one_line(event.text, 200))
            case Notice():
                self.note(event.text)
            case ModelRetry():
                self.note(f"{one_line(event.reason, 120)}: again in {event.wait_s:.0f} s")
            case ContextShown():
                self.note(shown_in_words(event))
            case ResultsCleared() | ResultsShortened() | HistorySummarised():
                self.note(spending_in_words(event))
            case PatchApplied():
                count = len(event.changes)
                self.note(f"applied to {event.directory}: {count} file{'s' * (count > 1)}")
            case _:
                pass

    def _replied(self, event: ModelReplied) -> None:
        blocks = event.reply.message.blocks
        if not self._streamed:
            words = "\n".join(block.text for block in blocks if isinstance(block, ModelText))
            if words.strip():
                self.say(self._words.piece(words))
        self._next_message()
        for block in blocks:
            if isinstance(block, Opaque) and block.server_side:
                self.note(f"run by the model's service: {one_line(block.server_side, 200)}")

    def _next_message(self) -> None:
        self._break_off()
        self._streamed = False
        rest = self._thoughts.broken_off()
        if rest:
            self._tell(update_agent_thought_text(rest))

    def _break_off(self) -> None:
        """Something else is shown after the words so far."""
        rest = self._words.broken_off()
        if rest:
            self.say(rest)

    def _ready(self, event: SandboxReady) -> None:
        if not event.kernel_enforced:
            self.say("**The kernel does NOT enforce the policy in this session.**\n\n")
        told = [item for item in event.left_behind if item.kind in {"unusable", "borrowed"}]
        absent = [path_text(item.path) for item in event.left_behind if item not in told]
        if absent:
            self.note(f"not copied into the sandbox: {listed(absent, _NAMED)}")
        for item in told[:_NAMED]:
            self.note(one_line(f"{path_text(item.path)} {item.reason}", 600))
        if event.seal.missing:
            self.note(f"not in this image: {one_line(', '.join(event.seal.missing), 300)}")

    def _call(self, event: CallStarted | OutputPiece | CallEnded | CallRefused) -> None:
        match event:
            case CallStarted(tool="update_plan"):
                self._plan(event.arguments)
            case CallStarted():
                self._tail, self._running = b"", call_id(event.number)
                self._announce(event.number, event.tool, event.arguments, status="in_progress")
            case OutputPiece():
                self._output(event.data)
            case CallEnded(tool="update_plan"):
                pass
            case CallEnded():
                self._running = ""
                self._ended(event)
            case CallRefused():
                self._announce(event.number, event.tool, event.arguments, status="failed")
                self._progress(call_id(event.number), f"{event.why}: {event.text}", "failed")

    def _plan(self, arguments: Mapping[str, object]) -> None:
        items = PlanArguments.model_validate(dict(arguments)).items
        entries = [
            plan_entry(without_pictures(one_line(item.step, 500)), status=_STATUS[item.status])
            for item in items
        ]
        self._tell(update_plan(entries))

    def _announce(
        self,
        number: int,
        tool: str,
        arguments: Mapping[str, object],
        *,
        status: Literal["pending", "in_progress", "failed"],
    ) -> None:
        call = call_id(number)
        if call in self._told:
            self._tell(update_tool_call(call, status=status))
            return
        self._told[call] = ""
        if len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]
        self._tell(
            start_tool_call(
                call,
                title(one_line(call_in_words(tool, arguments), _TITLE)),
                kind=_KINDS.get(tool, "other"),
                status=status,
                locations=self._locations(arguments),
                raw_input=dict(arguments),
            )
        )

    def _output(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-_TAIL_BYTES:]
        now = time.monotonic()
        if self._running and now - self._sent >= _OUTPUT_EVERY_S:
            self._sent = now
            self._progress(self._running, decode(self._tail), "in_progress")

    def _ended(self, event: CallEnded) -> None:
        call = call_id(event.number)
        words = event.text
        for program in event.refused[:_NAMED]:
            words += f"\nthe kernel refused {program}"
        outcome: dict[str, Any] = {"seconds": round(event.seconds, 3), "brief": event.brief}
        if event.exit_code is not None:
            outcome["exit_code"] = event.exit_code
        status: Literal["failed", "completed"] = "failed" if event.failed else "completed"
        self._progress(call, words, status, outcome)

    def _progress(
        self,
        call: str,
        text: str,
        status: Literal["in_progress", "completed", "failed"],
        outcome: Mapping[str, Any] | None = None,
    ) -> None:
        self._told[call] = text
        self._tell(update_tool_call(call, status=status, content=_said(text), raw_output=outcome))

    def _changed(self, last: int, changes: ShownChanges) -> None:
        """The diffs, at the newest of the calls that one look covers."""
        call = call_id(last)
        if call not in self._told or not (changes.diffs or changes.named):
            return
        text = self._told[call]
        if changes.named:
            names = listed(map(path_text, changes.named), _NAMED)
            text += f"\nchanged too, not shown: {names}"
        content: list[ContentToolCallContent | FileEditToolCallContent] = [*_said(text)]
        places = []
        for diff in changes.diffs:
            path = self._host(PurePosixPath(path_text(diff.path)))
            content.append(tool_diff_content(path, diff.new, diff.old))
            places.append(ToolCallLocation(path=path))
        self._tell(update_tool_call(call, content=content, locations=places))

    # -- paths -----------------------------------------------------------------------------

    def _locations(self, arguments: Mapping[str, object]) -> list[ToolCallLocation]:
        path = arguments.get("path")
        if not isinstance(path, str) or "\0" in path:
            return []
        full = PurePosixPath(WORKSPACE) / path
        if ".." in full.parts or not full.is_relative_to(WORKSPACE):
            return []
        offset = arguments.get("offset")
        line = offset if isinstance(offset, int) and offset >= 0 else None
        return [ToolCallLocation(path=self._host(full.relative_to(WORKSPACE)), line=line)]

    def _host(self, path: PurePosixPath) -> str:
        """A path of the workspace as the editor knows it."""
        return str(PurePosixPath(self._place) / path)


def _said(text: str) -> list[ContentToolCallContent]:
    return [tool_content(text_block(fenced(text)))] if text.strip() else []
