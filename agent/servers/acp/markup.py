"""Text for an editor, which shows Markdown: what a stranger wrote acts on nothing and ends nothing.

Pure.
"""

import re

from agent.untrusted_text import visible

_SHOWN_CHARACTERS = 16_000
_TICKS = re.compile("`+")


def fenced(text: str, *, limit: int = _SHOWN_CHARACTERS) -> str:
    """As code, to the letter: the fence is longer than any in it. Cut in its middle."""
    shown = visible(text)
    if len(shown) > limit:
        half = limit // 2
        cut = len(shown) - 2 * half
        shown = f"{shown[:half]}\n[… {cut} characters are not shown …]\n{shown[-half:]}"
    longest = max((len(ticks) for ticks in _TICKS.findall(shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown.rstrip(chr(10))}\n{fence}"
