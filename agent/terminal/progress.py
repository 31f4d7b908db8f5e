"""What a person sees of a run on the terminal while it runs, line by line.

Owns the wording and the layout. Every text that a model or a repository had a hand in is made
visible first and printed as text, never as markup: nothing in it acts on the terminal.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING

from agent.models.interface import Opaque
from agent.models.interface import Text as ModelText
from agent.record.events.conversation import (
    CallEnded,
    CallRefused,
    CallStarted,
    ContextShown,
    HistorySummarised,
    ModelCalled,
    ModelReplied,
    ModelRetry,
    ResultsCleared,
    ResultsShortened,
    TextFormChosen,
)
from agent.record.events.kinds import (
    BudgetUsed,
    Event,
    OutputPiece,
    Progress,
    TextDiscarded,
    TextPiece,
    ThinkingPiece,
    call_in_words,
    form_in_words,
    served_in_words,
    shown_in_words,
    spending_in_words,
)
from agent.record.events.lifecycle import ExportFailed, Notice, RunStarted, SandboxReady
from agent.terminal.screen import Line, Screen
from agent.tools.registry import PlanArguments, PlanStatus
from agent.untrusted_text import decode, one_line, path_text, shortened, visible
from policies.errors import listed

if TYPE_CHECKING:
    from agent.terminal.stream_wrap import StreamWrapper

_OUTPUT_LINES = 6
"""Of a command's output, the last so many are shown."""
_FOLDED_LINES = 3
"""The same in a chat, where a command failed; of others none is."""
_TAIL_BYTES = 8192
_REFUSED_SHOWN = 8
_LEFT_BEHIND_NAMED = 3
_SLOW_S = 0.1
"""What took less says nothing of its duration."""
_LIVE = frozenset({"bash", "search_files"})
"""Tools whose calls are shown when they start; the others' when they are done, on one line."""


class Layout(Enum):
    LINES = auto()
    """For a run: a call, the last of its output, its end."""
    FOLDED = auto()
    """For a chat: a call is one line, its output is asked for; text streams word by word. Nothing
    of a model's or a repository's begins at the left edge, where our own questions stand."""


class Display:
    """Prints events as they come."""

    def __init__(
        self, screen: Screen, *, layout: Layout = Layout.LINES, notes: Screen | None = None
    ) -> None:
        """Args:
        notes: for all but the model's words, where those are wanted apart.
        """
        self._screen = screen
        self._notes = notes or screen
        self._layout = layout
        self._flow: StreamWrapper | None = None
        self._text = ""
        self._said = False
        self._words = ""
        self._tail = b""

    def show(self, event: Event, _line: str | None = None) -> None:
        match event:
            case TextPiece() | ThinkingPiece() | TextDiscarded() | ModelCalled() | ModelReplied():
                self._model(event)
            case ModelRetry():
                waiting = f"{one_line(event.reason, 120)}: again in {event.wait_s:.0f} s"
                self._say(waiting, "yellow")
            case CallStarted() | OutputPiece() | CallEnded() | CallRefused():
                self._tool(event)
            case RunStarted():
                self._start(event)
            case Progress():
                self._say(one_line(event.text, 200), "dim")
                self._wait(one_line(event.text, 60))
            case SandboxReady():
                self._sandbox(event)
            case ContextShown():
                self._rest()
                self._say(shown_in_words(event), "dim")
            case TextFormChosen():
                self._rest()
                self._say(form_in_words(event), "dim")
            case Notice():
                self._say(visible(event.text), "yellow")
            case ExportFailed():
                self._say(visible(event.message), "bold red")
            case BudgetUsed() | ResultsCleared() | ResultsShortened() | HistorySummarised():
                margin = "  " if self._layout is Layout.FOLDED else ""
                self._say(f"{margin}{spending_in_words(event)}", "dim")
            case _:
                self._rest()

    def _model(
        self, event: TextPiece | ThinkingPiece | TextDiscarded | ModelCalled | ModelReplied
    ) -> None:
        match event:
            case ModelCalled():
                self._text, self._said = "", False
                self._wait("thinking")
            case TextPiece():
                self._stream(event.text)
            case ThinkingPiece():
                pass
            case TextDiscarded():
                self._text = ""
                self._end_flow()
                if self._said:
                    self._say("[that answer broke off; it comes again]", "yellow")
            case ModelReplied():
                self._flush(event)
                self._served(event)

    def _tool(self, event: CallStarted | OutputPiece | CallEnded | CallRefused) -> None:
        match event:
            case CallStarted():
                self._call(event)
            case OutputPiece():
                self._tail = (self._tail + event.data)[-_TAIL_BYTES:]
                newest = decode(self._tail).rstrip().rpartition("\n")[2]
                self._notes.waiting(Line(one_line(newest, 80), "dim"))
            case CallEnded():
                self._result(event)
            case CallRefused():
                self._refused(event)

    # -- live ------------------------------------------------------------------------------

    def _start(self, event: RunStarted) -> None:
        head = Line("moonpool ", "bold")
        head.append(event.run_id, "dim")
        self._print(head)
        facts = f"{event.policy} policy, {event.model}, on {event.workspace}"
        self._say(one_line(facts, 300), "dim")
        if event.skills:
            named = ", ".join(skill.name for skill in event.skills)
            self._say(one_line(f"skills: {named}", 300), "dim")
        if served := served_in_words(event.server_tools):
            self._say(served, "yellow")

    def _sandbox(self, event: SandboxReady) -> None:
        self._rest()
        if not event.kernel_enforced:
            self._say("the kernel does NOT enforce the policy in this run", "bold red")
        words = f"sealed container {event.container[:12]} ready"
        told = [item for item in event.left_behind if item.kind in {"unusable", "borrowed"}]
        if absent := [item.path for item in event.left_behind if item not in told]:
            names = (shortened(path_text(path)) for path in absent)
            words += f"; not copied in: {listed(names, _LEFT_BEHIND_NAMED)}"
        self._say(f"{words} ({event.seconds:.1f} s)", "dim")
        for item in told[:_LEFT_BEHIND_NAMED]:
            self._say(one_line(f"{path_text(item.path)} {item.reason}", 600), "yellow")
        if event.seal.missing:
            self._say(f"not in this image: {one_line(', '.join(event.seal.missing), 300)}", "dim")

    def _stream(self, text: str) -> None:
        if self._layout is Layout.FOLDED:
            self._flow_on(text)
            return
        self._text += text
        *lines, self._text = self._text.split("\n")
        for line in lines:
            self._speak(line)

    def _flush(self, event: ModelReplied) -> None:
        if not self._said and not self._text.strip() and self._flow is None:
            # A model that does not stream: its words are in the reply only.
            blocks = event.reply.message.blocks
            self._text = "\n".join(b.text for b in blocks if isinstance(b, ModelText))
        if self._layout is Layout.FOLDED:
            self._flow_on(self._text)
            self._text = ""
            self._end_flow()
            self._rest()
            return
        for line in self._text.split("\n"):
            self._speak(line)
        self._text = ""
        self._rest()

    def _served(self, event: ModelReplied) -> None:
        for block in event.reply.message.blocks:
            if isinstance(block, Opaque) and block.server_side:
                self._say(
                    f"  run by the model's service: {one_line(block.server_side, 200)}", "yellow"
                )

    def _flow_on(self, text: str) -> None:
        if self._flow is None:
            from agent.terminal.stream_wrap import StreamWrapper  # noqa: PLC0415 - rich

            first, rest = self._sign("● ", "* "), "  "
            self._flow = StreamWrapper(
                self._write, width=self._screen.width, first=first, rest=rest
            )
        self._flow.feed(text)
        self._said = self._said or self._flow.said

    def _end_flow(self) -> None:
        if self._flow is not None:
            self._flow.end()
            self._flow = None

    def _write(self, text: str) -> None:
        self._rest()
        self._screen.print(Line(text), end="")

    def _speak(self, line: str) -> None:
        if line.strip():
            mark = "  " if self._said else self._sign("● ", "* ")
            self._said = True
            self._screen.print(Line(mark, "cyan").append(visible(line.rstrip()), "default"))

    def _call(self, event: CallStarted) -> None:
        self._tail = b""
        self._words = one_line(call_in_words(event.tool, event.arguments), 400)
        if event.tool == "update_plan":
            self.plan(event.arguments)
            return
        if event.tool in _LIVE and self._layout is Layout.LINES:
            self._print(Line("  ").append(self._words, "bold"))
        self._wait("running" if self._layout is Layout.LINES else f"running {self._words[:60]}")

    def plan(self, arguments: Mapping[str, object]) -> None:
        """The steps of an ``update_plan`` call."""
        marks = {
            PlanStatus.DONE: self._sign("✔", "x"),
            PlanStatus.IN_PROGRESS: self._sign("▸", ">"),
            PlanStatus.PENDING: self._sign("·", "-"),
        }
        items = PlanArguments.model_validate(dict(arguments)).items
        done = sum(item.status is PlanStatus.DONE for item in items)
        self._print(Line("  plan  ", "bold").append(f"{done} of {len(items)} done", "dim"))
        for item in items:
            style = "bold" if item.status is PlanStatus.IN_PROGRESS else "dim"
            self._print(Line(f"  {marks[item.status]} ", style).append(one_line(item.step, 200)))

    def _result(self, event: CallEnded) -> None:
        self._rest()
        if event.tool == "update_plan":
            return
        if self._layout is Layout.FOLDED:
            self._folded(event)
            return
        self._output(_OUTPUT_LINES)
        words = Line("    ")
        if event.tool not in _LIVE:
            words = Line("  ").append(f"{self._words}  ", "bold")
        words.append(one_line(event.brief, 200), _style(event))
        if event.tool == "bash" or event.seconds >= _SLOW_S:
            words.append(f"  {event.seconds:.2f} s", "dim")
        self._print(words)
        self._kernel(event)

    def _folded(self, event: CallEnded) -> None:
        took = f"  {event.seconds:.1f} s" if event.seconds >= _SLOW_S else ""
        tail = Line(f"  {one_line(event.brief, 80)}", _style(event)).append(took, "dim")
        head = Line(f"  {event.number} ", "dim").append(self._words, "default")
        # How it ended is always there; the call gives way.
        self._end_flow()
        self._notes.print_cut(head, tail)
        if event.failed:
            self._output(_FOLDED_LINES)
        self._kernel(event)

    def _output(self, count: int) -> None:
        lines = [line for line in decode(self._tail).split("\n") if line.strip()]
        for line in lines[-count:]:
            self._print(Line("    ").append(one_line(line.rstrip("\r"), 200), "dim"))

    def _kernel(self, event: CallEnded) -> None:
        for program in event.refused[:_REFUSED_SHOWN]:
            self._print(Line("    ").append(f"the kernel refused {one_line(program, 200)}", "red"))

    def _refused(self, event: CallRefused) -> None:
        mark = self._sign("✗ ", "! ")
        words = one_line(call_in_words(event.tool, event.arguments), 300)
        self._print(Line("  ").append(f"{mark}{event.why}: {words}", "red"))
        self._print(Line("    ").append(one_line(event.text, 300), "dim"))

    # -- printing --------------------------------------------------------------------------

    def _say(self, text: str, style: str) -> None:
        self._print(Line(text, style))

    def _print(self, line: Line) -> None:
        self._end_flow()
        if self._layout is Layout.FOLDED:
            self._notes.print_cut(line)
        else:
            self._notes.print(line)

    def _wait(self, what: str) -> None:
        self._notes.wait(Line(what, "dim"))

    def _rest(self) -> None:
        self._notes.rest()

    def _sign(self, fancy: str, simple: str) -> str:
        return fancy if self._screen.fancy else simple

    def close(self) -> None:
        """Give the cursor back, whatever happened."""
        self._end_flow()
        self._rest()


def _style(event: CallEnded) -> str:
    if event.is_error:
        return "red"
    return "yellow" if event.failed else "green"
