"""What a chat itself says on the screen: none of it begins where our own questions stand."""

from agent.terminal.screen import Line, Screen
from agent.untrusted_text import visible
from policies.frozen import dataclass

_HANGING = "    "


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatVoice:
    screen: Screen

    def say(self, text: str, style: str = "default") -> None:
        """One line of ours."""
        self.screen.print_hanging(Line(text, style), margin=_HANGING)

    def quote(self, text: str, style: str) -> None:
        """Words that others had a hand in, each line indented."""
        for line in visible(text).split("\n"):
            self.screen.print_hanging(Line(f"  {line}".expandtabs(8), style))
