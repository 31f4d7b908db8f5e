"""What a request and its answer must have used at the least, whatever their service says.

Pure. Owns the only thing that a host knows of it by itself: the words that it sent and that came.
Refuses to know how a service counts: thinking that is not shown, images, the forms of tools and
what a cache held are its own word.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from agent.models.interface import Request, Text, ToolResult, ToolUse, Usage

_WORDS: Final = bytes(b if b >= 0x80 or chr(b).isalpha() else 0x20 for b in range(256))
_NOT_EAST_ASIAN: Final = bytes(b for b in range(256) if not (0xE3 <= b <= 0xED or b >= 0xF0))
"""All but the first byte of a character of Chinese, Japanese, Korean, and of planes above."""


def least_tokens(text: str) -> float:
    """So many tokens a text has at the least: half of its words, and one for six characters of
    scripts that have no spaces. What repeats itself counts once, such as a line of dashes.

    Held against four vocabularies (cl100k, o200k, Claude 2, Gemma 3; November 2026): prose in 24
    languages, code, logs and long words have twice to ten times as many.
    """
    data = text.encode("utf-8", "replace")
    return len(data.translate(_WORDS).split()) / 2 + len(data.translate(None, _NOT_EAST_ASIAN)) / 6


def believed(usage: Usage, request: Request, words: str, calls: Iterable[ToolUse] = ()) -> Usage:
    """What a service said of a request and its answer; where that can't be, nobody counted it.

    Args:
        words: what was seen of the answer, its thinking too.
        calls: those of an answer that is whole.
    """
    came = least_tokens(words) + sum(map(_least_of_call, calls))
    if usage.output_tokens >= came and usage.all_input >= _least_of(request):
        return usage
    return replace(usage, uncounted_replies=1)


def _least_of(request: Request) -> float:
    blocks = (block for message in request.messages for block in message.blocks)
    return (
        least_tokens(request.system)
        + sum(least_tokens(tool.description) for tool in request.tools)
        + sum(least_tokens(block.text) for block in blocks if isinstance(block, Text | ToolResult))
    )


def _least_of_call(use: ToolUse) -> float:
    return least_tokens(json.dumps(use.arguments, ensure_ascii=False))
