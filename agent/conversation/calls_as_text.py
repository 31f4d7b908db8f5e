"""A tool call that a model wrote into its answer as text, in place of making it.

Pure. Local models do so whose chat template does not fit their server: nothing runs, and the answer
reads like the end of the work. Owns how such a text is known. What stands in it is never run.
"""

import re
from collections.abc import Collection
from typing import Final

_MARKS: Final = re.compile(
    r"<tool_?calls?>|<function[=_ ]|<invoke\b|<\|(?:tool|python_tag|channel)|\[TOOL_CALLS\]"
    r"|```(?:json|tool_call|tool_code|xml)?\s*[\[{]|^\s*[\[{]",
    re.IGNORECASE,
)
_NAMES: Final = re.compile(
    r"\"(?:name|tool|tool_name|function)\"\s*:\s*\"(?P<json>[\w-]+)\""
    r"|<function=(?P<function>[\w-]+)|name=\"(?P<invoke>[\w-]+)\"|functions\.(?P<channel>[\w-]+)"
    r"|<tool_?call>\s*(?P<bare>[\w-]+)|\[TOOL_CALLS\]\s*(?P<mistral>[\w-]+)",
    re.IGNORECASE,
)


def call_as_text(words: str, tools: Collection[str]) -> str:
    """The tool that an answer asks for in its text; empty: it asks for none."""
    if _MARKS.search(words) is None:
        return ""
    found = (match[match.lastgroup or 0] for match in _NAMES.finditer(words))
    return next((name for name in found if name in tools), "")
