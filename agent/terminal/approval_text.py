"""A call that a person is asked about, written so that nothing in it can hide or pretend.

Owns the lines of the question. Each line of the call has a mark of its own before it, so that no
text in it looks like the end of it or like the prompt; what a terminal would obey, not show, or
show as something else is written as what it is; nothing is cut.
"""

import re
import unicodedata
from collections import Counter

from rich.cells import cell_len, chop_cells

from agent.record.events.kinds import call_in_words
from agent.untrusted_text import visible
from policies.decision import Ask, Call
from policies.errors import listed

_FIRST, _NEXT, _WRAPPED = "│ ", "│ ", "┆ "
_LEAST_WIDTH = 20
_LONG_BLANK = 12
_LONG_RUN = re.compile(f" {{{_LONG_BLANK},}}")
_MANY_LINES = 20
_MANY_CHARACTERS = 2000
_NAMED = 6


def question(call: Call, ask: Ask, *, width: int) -> list[str]:
    """The lines to print, none wider than the terminal."""
    words = call_in_words(call.tool, call.arguments)
    lines = [f"? {call.tool} asks for your consent: {visible(ask.reason)} ({visible(ask.rule)})"]
    lines += _framed(words, width)
    for name, value in call.arguments.items():
        if name not in {"command", "path"}:
            lines += _framed(f"{name}: {value}", width)
    everything = words + "".join(map(str, call.arguments.values()))
    if len(lines) > _MANY_LINES or len(words) > _MANY_CHARACTERS:
        count = words.count("\n") + 1
        lines.append(
            f"  That is all of it: {len(words)} characters in {count} lines. Scroll up to read it."
        )
    foreign = _foreign(everything)
    if foreign:
        lines.append(f"  Letters that may look like others: {foreign}")
    return lines


def _framed(text: str, width: int) -> list[str]:
    room = max(_LEAST_WIDTH, width) - cell_len(_FIRST)
    lines: list[str] = []
    for line in text.split("\n"):
        pieces = chop_cells(_blanks("".join(map(_spelled, visible(line)))), room) or [""]
        lines.append(_FIRST + pieces[0])
        lines += [_WRAPPED + piece for piece in pieces[1:]]
    return lines


def _spelled(char: str) -> str:
    """A character that shows nothing, or changes another, as what it is."""
    if char.isascii():
        return "\\t" if char == "\t" else char
    # Combining marks draw over what is before them; blanks that are no blank to a shell.
    if unicodedata.category(char) in {"Mn", "Me", "Mc", "Zs"}:
        return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"
    return char


def _blanks(line: str) -> str:
    """Long runs of blanks by their length, and those at the end, where nothing shows them."""
    text = line.rstrip(" ")
    end = len(line) - len(text)
    body = text.lstrip(" ")
    start = len(text) - len(body)
    lead = " " * start if start < 4 * _LONG_BLANK else _length(start)
    within = _LONG_RUN.sub(lambda run: _length(len(run[0])), body)
    return lead + within + (f"⟨{end} blanks⟩" if end else "")


def _length(blanks: int) -> str:
    return f" ⟨{blanks} blanks⟩ "


def _foreign(text: str) -> str:
    """Letters outside ASCII by name: a Cyrillic a looks like an `a`."""
    found = Counter(char for char in text if not char.isascii() and char.isalpha())
    named = (
        f"{char} {unicodedata.name(char, f'U+{ord(char):04X}')}" for char, _ in found.most_common()
    )
    return listed(named, _NAMED, empty="")
