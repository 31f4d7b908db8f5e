"""A patch on a terminal: coloured, and no line of it looks like one of ours."""

from agent.terminal.screen import Line, Screen
from agent.untrusted_text import decode, visible

_STYLES = {b"+": "green", b"-": "red", b"@": "cyan", b"d": "bold"}
_WRAPPED = "┆ "


def print_patch(screen: Screen, data: bytes, *, limit: int = 0) -> int:
    """Print a patch, or its first `limit` lines; gives how many lines were left out."""
    lines = data.removesuffix(b"\n").split(b"\n") if data else []
    shown = lines[:limit] if limit else lines
    for line in shown:
        style = _STYLES.get(line[:1], "default")
        screen.print_marked(Line(visible(decode(line)), style), _WRAPPED)
    return len(lines) - len(shown)
