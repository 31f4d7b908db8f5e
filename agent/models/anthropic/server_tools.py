"""The tools that the Messages API runs itself: what is asked for, and what comes back.

Pure: imports no SDK, does no I/O. Owns which version of a tool a model gets, and the rules for the
blocks of such tools in a history. Refuses to know whether they may be used (the policy, by
`agent.models.server_tool_rules`).

Sources: the SDK's ``types/*_tool_*_param.py`` (anthropic 2.11.0); the API's pages on server tools,
web search, web fetch and code execution (October 2026): the newest versions want a model of
generation 4.6 or later, the oldest run on all that there are.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Json = dict[str, Any]

_USE: Final = "server_tool_use"
_RESULT_ENDING: Final = "_tool_result"
_LONGEST_WORDS: Final = 300

GENERATION_5: Final = (
    "claude-fable-5",
    "claude-haiku-5",
    "claude-mythos-5",
    "claude-opus-5",
    "claude-sonnet-5",
)
_NEWEST_FOR: Final = (
    *GENERATION_5,
    "claude-mythos-preview",
    "claude-opus-4-6",
    "claude-opus-4-7",
    "claude-opus-4-8",
    "claude-sonnet-4-6",
)

_DIRECT: Final = {"allowed_callers": ["direct"]}
"""Only the model calls it. Left out, the newest web tools have the service run code that filters
what they found: code execution, which the policy may not list."""

_NEWEST: Final[Mapping[str, Json]] = {
    "web_search": {"type": "web_search_20260318", **_DIRECT},
    "web_fetch": {
        "type": "web_fetch_20260318",
        **_DIRECT,
        # What our own tools read in the workspace names no page to be fetched.
        "url_sources": {"client_tool_results": {"type": "none"}},
    },
    "code_execution": {"type": "code_execution_20260521", **_DIRECT},
}
_OLDEST: Final[Mapping[str, Json]] = {
    "web_search": {"type": "web_search_20250305"},
    "web_fetch": {"type": "web_fetch_20250910"},
    "code_execution": {"type": "code_execution_20250825"},
}


def declared(names: Sequence[str], *, model: str) -> list[Json]:
    """The tools as a request declares them."""
    forms = _NEWEST if model.startswith(_NEWEST_FOR) else _OLDEST
    return [{**forms[name], "name": name} for name in names]


def in_words(raw: Mapping[str, Any]) -> str:
    """What a block asks the service to do; empty for a block that asks for nothing."""
    if raw.get("type") != _USE:
        return ""
    given = raw.get("input")
    values = given.values() if isinstance(given, Mapping) else ()
    words = " ".join(str(value) for value in values if isinstance(value, str | int))
    return f"{raw.get('name', '')}: {words}"[:_LONGEST_WORDS]


def settled(content: list[Json]) -> list[Json]:
    """An answer's blocks where something else follows it: without calls that were never answered.

    The API takes such a call back only at the end of a paused turn, or beside calls to us: then it
    answers it in its next reply. What a token limit or an interrupt cut off, it refuses.
    """
    if any(block["type"] == "tool_use" for block in content):
        return content
    answered = {
        block.get("tool_use_id") for block in content if block["type"].endswith(_RESULT_ENDING)
    }
    return [block for block in content if block["type"] != _USE or block.get("id") in answered]
