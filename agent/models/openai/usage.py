"""What one answer used, by its service's own word, as each of the two APIs says it.

Pure. Thinking is counted with the output, as it is billed. Refuses to guess: an answer that does
not say what it used is counted as one that did not (`Usage.uncounted_replies`).
"""

from collections.abc import Mapping
from typing import Any, Final

from agent.models.interface import Usage

_MOST_TOKENS: Final = 1_000_000_000
"""A count above it is no count."""


def usage_of_chat(said: object) -> Usage | None:
    """Of the ``usage`` of a chat completion; None: it does not say."""
    raw = mapping(said)
    details = mapping(raw.get("prompt_tokens_details"))
    # DeepSeek has another name for it.
    cached = details.get("cached_tokens", raw.get("prompt_cache_hit_tokens"))
    return _usage(
        raw.get("prompt_tokens"),
        raw.get("completion_tokens"),
        cached=cached,
        written=details.get("cache_write_tokens"),
        total=raw.get("total_tokens"),
    )


def usage_of_response(response: Mapping[str, Any]) -> Usage | None:
    """Of a response of the Responses API; None: it does not say."""
    raw = mapping(response.get("usage"))
    details = mapping(raw.get("input_tokens_details"))
    searches = mapping(mapping(response.get("tool_usage")).get("web_search")).get("num_requests")
    return _usage(
        raw.get("input_tokens"),
        raw.get("output_tokens"),
        cached=details.get("cached_tokens"),
        written=details.get("cache_write_tokens"),
        total=raw.get("total_tokens"),
        searches=searches,
    )


def _usage(
    prompt: object,
    output: object,
    *,
    cached: object,
    written: object,
    total: object,
    searches: object = None,
) -> Usage | None:
    whole, said = _number(prompt), _number(output)
    if whole is None or said is None:
        return None
    read = min(_number(cached) or 0, whole)
    kept = min(_number(written) or 0, whole - read)
    return Usage(
        input_tokens=whole - read - kept,
        # Gateways leave the thinking out of the output, and not out of the total.
        output_tokens=max(said, (_number(total) or 0) - whole),
        cache_read_tokens=read,
        cache_write_tokens=kept,
        web_searches=_number(searches) or 0,
    )


def mapping(value: object) -> Mapping[str, Any]:
    """An object of JSON as it is; anything else as an empty one."""
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None
