"""Lines for a terminal whose rest, where they are too long for it, stands behind a margin.

At the left edge stand our own questions: what others wrote must not get there by being long. Owns
the breaking; refuses to know what a line says, and expects it made visible.
"""

from rich.console import Console
from rich.text import Text

_LEAST_WIDTH = 20


def print_margined(console: Console, line: Text, *, margin: str = "  ") -> None:
    """Print one line; where nobody looks at a screen it is not broken."""
    if not console.is_terminal:
        console.print(line, soft_wrap=True, highlight=False)
        return
    room = max(_LEAST_WIDTH, console.width - len(margin) - 1)
    for number, piece in enumerate(line.wrap(console, room, no_wrap=False)):
        piece.rstrip()
        shown = Text(margin).append_text(piece) if number else piece
        console.print(shown, no_wrap=True, overflow="ellipsis", highlight=False)
