"""What one response used, by its own word.

Pure. Thinking is counted with the output, as it is billed. Refuses to guess: a response that does
not say what it used is counted as one that did not (`Usage.uncounted_replies`).
"""

from collections.abc import Mapping
from typing import Any, Final

from agent.models.interface import Usage

_MOST_TOKENS: Final = 1_000_000_000
"""A count above it is no count."""


def usage_of(response: Mapping[str, Any]) -> Usage | None:
    """None: the response does not say."""
    raw = _mapping(response.get("usage"))
    whole, output = _number(raw.get("input_tokens")), _number(raw.get("output_tokens"))
    if whole is None or output is None:
        return None
    details = _mapping(raw.get("input_tokens_details"))
    cached = min(_number(details.get("cached_tokens")) or 0, whole)
    written = min(_number(details.get("cache_write_tokens")) or 0, whole - cached)
    # Gateways leave the thinking out of the output, and not out of the total.
    output = max(output, (_number(raw.get("total_tokens")) or 0) - whole)
    searches = _mapping(_mapping(response.get("tool_usage")).get("web_search")).get("num_requests")
    return Usage(
        input_tokens=whole - cached - written,
        output_tokens=output,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        web_searches=_number(searches) or 0,
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None
