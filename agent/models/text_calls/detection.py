"""A tool call that a model wrote into its answer as text, in place of making it.

Pure. Local models do so whose chat template does not fit their server: nothing runs, and the answer
reads like the end of the work. Owns how such a text is known, so that the model can be told. What
stands in it is never run.
"""

import re
from collections.abc import Collection
from enum import Enum, auto
from typing import Final

from policies.frozen import dataclass

_MARKS: Final = re.compile(
    r"<tool_?calls?>|<function[=_ ]|<invoke\b|<[|\uff5c](?:tool|python_tag|channel)"
    r"|\[TOOL_CALLS\]|(?:```|~~~)[\w.+-]*\s*[\[{]|```tool_code\b|\A\s*(?:[\[{]|[a-z_]+\()",
    re.IGNORECASE,
)
_NAMES: Final = re.compile(
    r"\"(?:name|tool|tool_name|function)\"\s*:\s*\"(?P<json>[\w-]+)\""
    r"|<function=(?P<function>[\w-]+)|name=\"(?P<invoke>[\w-]+)\"|functions\.(?P<channel>[\w-]+)"
    r"|<tool_?call>\s*(?P<bare>[\w-]+)|\[TOOL_CALLS\]\s*(?P<mistral>[\w-]+)"
    r"|```tool_code\s+(?:print\()?(?P<code>[\w-]+)\(|sep[|\uff5c]>(?P<deepseek>[\w-]+)"
    r"|\A\s*\[?(?P<pythonic>[a-z_]+)\([a-z_]+=",
    re.IGNORECASE,
)
_MADE_UP: Final = re.compile(
    r"\A\s*(?:(?:```|~~~)[\w.+-]*\s*)?\{\s*\"(?:name|tool|tool_name|function)\"\s*:\s*\"[\w.-]+\""
    r"\s*,\s*\"(?:arguments|parameters|args|input)\"\s*:.*\}\s*(?:(?:```|~~~)\s*)?\Z",
    re.DOTALL,
)
"""An answer that is nothing but a call, of a tool that there may not be."""
_FENCE: Final = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*(?P<label>[^\s`]*).*$", re.MULTILINE)
_SHELLS: Final = frozenset({"bash", "sh", "shell", "zsh", "console", "terminal", "shell-session"})

_NO_TOOLS: Final = re.compile(
    r"\b(?:tools?|functions?|tool[ _-](?:use|calls?|calling|choice|parser))\b[^.]{0,80}"
    r"(?:not support|n't support|unsupported|not (?:enabled|available|allowed)|requires?\b)"
    r"|(?:n[o']t support|unsupported|no endpoints? found|unknown|unexpected|unrecognized)[^.]{0,60}"
    r"\b(?:tools?|function)\b",
    re.IGNORECASE,
)
"""How services say that they take no tools: Ollama, vLLM, llama.cpp, OpenRouter."""


class Look(Enum):
    """What a text looks like that may have been meant as a call."""

    CALL = auto()
    COMMAND = auto()
    """The one fence of the answer holds shell text: it may be advice just as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLike:
    look: Look
    tool: str
    """The tool that is named, or meant; empty where it names one that there is not."""


def call_like(words: str, tools: Collection[str], *, calls_made: bool) -> CallLike | None:
    """What in an answer was meant as a call; None: nothing, as far as can be told.

    Args:
        calls_made: the model has made calls as it should. One that has may show how a thing is
            run: shell text counts only where the answer is nothing else.
    """
    if _MARKS.search(words) is not None:
        found = (match[match.lastgroup or 0] for match in _NAMES.finditer(words))
        tool = next((name for name in found if name in tools), "")
        if tool or _MADE_UP.match(words) is not None:
            return CallLike(look=Look.CALL, tool=tool)
    if "bash" in tools and _lone_shell_fence(words, alone=calls_made):
        return CallLike(look=Look.COMMAND, tool="bash")
    return None


def _lone_shell_fence(words: str, *, alone: bool) -> bool:
    fences = list(_FENCE.finditer(words))
    if len(fences) != 2 or fences[0]["label"].lower() not in _SHELLS or fences[1]["label"]:
        return False
    around = words[: fences[0].start()] + words[fences[1].end() :]
    inside = words[fences[0].end() : fences[1].start()]
    return bool(inside.strip()) and not (alone and around.strip())


def no_tools_taken(message: str) -> bool:
    """Whether a service refused a request for the tools in it."""
    return _NO_TOOLS.search(message) is not None
