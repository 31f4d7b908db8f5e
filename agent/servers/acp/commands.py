"""The slash commands of a chat at an editor: how what they say is shown there.

Only what the person typed is ever a command; what a model or a file says never gets here.
"""

import io
import re

from acp.schema import AvailableCommand

from agent.chat.slash_commands import EVERYWHERE, SlashCommands
from agent.chat.wording import so_far
from agent.record.summary import RunSummary
from agent.servers.acp.markup import fenced, without_pictures
from agent.servers.acp.permission import EditorAsker
from agent.servers.acp.prompt import Asked
from agent.servers.acp.view import EditorView
from agent.terminal.result import print_diffstat, print_risk
from agent.terminal.screen import Screen
from agent.untrusted_text import decode, one_line
from policies.frozen import dataclass

COMMANDS = [AvailableCommand(name=name, description=words) for name, words in EVERYWHERE.items()]
_COMMAND = re.compile(r"/([a-z]+)")
_QUOTED_CHARACTERS = 100_000


def command_of(asked: Asked) -> str | None:
    """The name of the command that a prompt is; None: it is a request."""
    found = _COMMAND.fullmatch(asked.typed) if asked.alone else None
    return None if found is None else found[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class EditorFace:
    """Fits `agent.chat.slash_commands.ChatFace`: an editor shows Markdown."""

    view: EditorView
    asker: EditorAsker

    def say(self, text: str, style: str = "default") -> None:  # noqa: ARG002 - it has no styles
        self.view.say(f"{without_pictures(text)}\n\n")

    def quote(self, text: str, style: str = "default") -> None:  # noqa: ARG002
        self.view.say(f"{fenced(text, limit=_QUOTED_CHARACTERS)}\n\n")

    def show_patch(self, data: bytes) -> int:
        self.quote(decode(data))
        return 0

    def show_findings(self, summary: RunSummary) -> None:
        self.quote("\n".join(_stat(summary)))

    def refusal(self, summary: RunSummary) -> str:
        count = len(summary.changes)
        title = f"Apply {count} changed file{'s' * (count > 1)} to {summary.workspace}"
        refused = self.asker.may_apply(one_line(title), _stat(summary))
        return "" if refused is None else refused.reason


def offered(commands: SlashCommands, view: EditorView, before: bytes) -> bytes:
    """Show what a prompt left to apply, where that is another patch than before; gives it."""
    taken = commands.taken(commands.chat.patch.preview)
    if taken is None or taken.patch.data == before:
        return before
    lines = _stat(so_far(commands.chat, taken))
    if lines:
        end = (
            "The export gate refuses it: nothing can be applied."
            if taken.refused
            else "`/apply` applies it to your files, `/diff` shows it, `/undo` takes it back."
        )
        view.say(f"\n\n**The patch so far**\n{fenced(chr(10).join(lines))}\n{end}\n")
    return taken.patch.data


def _stat(summary: RunSummary) -> list[str]:
    """Findings and changed files, in the words of a run's end."""
    text = io.StringIO()
    screen = Screen(text)
    print_risk(screen, summary)
    print_diffstat(screen, summary)
    return text.getvalue().splitlines()
