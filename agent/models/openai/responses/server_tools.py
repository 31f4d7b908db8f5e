"""The tools that the Responses API runs itself: what is asked for, and what comes back.

Pure: imports no SDK, does no I/O. Refuses to know whether they may be used (the policy, by
`agent.models.server_tool_rules`).

Source: the SDK's ``types/responses/tool_param.py``, ``web_search_tool_param.py`` and
``response_function_web_search.py`` (openai 3.54.0).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Json = dict[str, Any]

_LONGEST_WORDS: Final = 300

_NAMES: Final[Mapping[str, str]] = {
    "web_search_call": "web_search",
    "code_interpreter_call": "code_execution",
}
"""By an item's type: the tool's name in a policy."""


def declared(names: Sequence[str]) -> list[Json]:
    """The tools as a request declares them."""
    tools: list[Json] = []
    if "web_search" in names:
        # Live, the model also opens pages, at addresses that it may make up: what the policy
        # calls web_fetch. Without it the search stays in what the service has stored.
        live = "web_fetch" in names
        tools.append({"type": "web_search", "external_web_access": live})
    if "code_execution" in names:
        sealed = {"type": "auto", "network_policy": {"type": "disabled"}}
        tools.append({"type": "code_interpreter", "container": sealed})
    return tools


def tool_of(item: Mapping[str, Any]) -> str:
    """The name of the service's own tool that an item shows at work; empty: it shows none."""
    kind = str(item.get("type"))
    if not kind.endswith("_call") or "call_id" in item:
        return ""
    if kind == "web_search_call":
        action = item.get("action")
        # No set: what the service says may be a list, which a set can't be asked for.
        opened = isinstance(action, Mapping) and action.get("type") in ("open_page", "find_in_page")
        return "web_fetch" if opened else "web_search"
    return _NAMES.get(kind, kind.removesuffix("_call"))


def in_words(item: Mapping[str, Any]) -> str:
    """What an item asks the service to do; empty for one that asks for nothing."""
    tool = tool_of(item)
    if not tool:
        return ""
    action = item.get("action")
    given = action if isinstance(action, Mapping) else item
    values = (given.get(key) for key in ("query", "pattern", "url", "code", "name", "arguments"))
    words = " ".join(value for value in values if isinstance(value, str))
    return f"{tool}: {words}"[:_LONGEST_WORDS]
