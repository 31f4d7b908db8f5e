"""What a chat itself says on the screen: none of it begins where our own questions stand."""

from agent.chat.slash_commands import EVERYWHERE, SlashCommands
from agent.record.events.conversation import CallStarted
from agent.record.summary import RunSummary
from agent.terminal.approval_prompt import ChatAsker
from agent.terminal.diff import print_patch
from agent.terminal.progress import Display
from agent.terminal.result import print_diffstat, print_risk
from agent.terminal.screen import Line, Screen
from agent.untrusted_text import visible
from policies.frozen import dataclass

_HANGING = "    "
_DIFF_LINES = 300
_QUOTED_CHARACTERS = 20_000
COMMANDS = {
    **EVERYWHERE,
    "output": "what a tool call gave: /output, or /output N",
    "plan": "the agent's plan",
    "help": "this",
    "quit": "leave; the patch is made (Ctrl-D too)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalFace:
    """Fits `agent.chat.slash_commands.ChatFace`."""

    screen: Screen
    asker: ChatAsker | None
    """None: nobody can be asked, so nothing is applied from here."""

    def say(self, text: str, style: str = "default") -> None:
        self.screen.print_hanging(Line(text, style), margin=_HANGING)

    def quote(self, text: str, style: str = "default") -> None:
        shown = visible(text)
        for line in shown[:_QUOTED_CHARACTERS].split("\n"):
            self.screen.print_hanging(Line(f"  {line}".expandtabs(8), style))
        if len(shown) > _QUOTED_CHARACTERS:
            self.say(f"{len(shown) - _QUOTED_CHARACTERS} characters more are in events.jsonl")

    def show_patch(self, data: bytes) -> int:
        return print_patch(self.screen, data, limit=_DIFF_LINES)

    def show_findings(self, summary: RunSummary) -> None:
        print_risk(self.screen, summary)

    def refusal(self, summary: RunSummary) -> str:
        print_risk(self.screen, summary)
        print_diffstat(self.screen, summary)
        if self.asker is None:
            afterwards = f"moonpool apply {summary.run_id}"
            return f"there is no terminal to ask at. Afterwards: {afterwards}"
        consents = self.asker.agrees(f"apply to {visible(summary.workspace)}? [y/N] ")
        return "" if consents else "you did not say yes"


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalCommands(SlashCommands):
    """With those that an editor has its own ways for."""

    display: Display

    def plan(self) -> None:
        """Show what the agent means to do."""
        plans = [
            event
            for event in self.chat.session.journal.log
            if isinstance(event, CallStarted) and event.tool == "update_plan"
        ]
        if plans:
            self.display.plan(plans[-1].arguments)
        else:
            self.face.say("the agent has made no plan")

    def help(self) -> None:
        """Show the commands there are."""
        for name, words in self.offered.items():
            self.face.say(f"/{name:<8} {words}")
        self.face.say(
            "Ctrl-C stops what runs; twice: at once. Escape, then Enter: a new line.", "dim"
        )
