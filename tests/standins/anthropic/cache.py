"""Prompt caching by prefix, counted as the API's page on it says (October 2026).

A mark writes an entry for everything up to it; a request reads the longest entry found at a mark or
at most 20 blocks before one; what lies between that and the last mark is written, the rest is plain
input. Prefixes below a smallest length are neither. Tokens are characters of JSON by four. Entries
do not age here: `Cache.forget` stands for the five minutes.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

LOOK_BACK = 20
SMALLEST_TOKENS = 512
"""For the models of the fifth generation."""


_encoded = json.JSONEncoder(sort_keys=True).encode


def tokens(request: Mapping[str, Any]) -> int:
    """What `Cache.usage` says of a request's input, all of it together."""
    return sum(_tokens(_encoded(_unmarked(block))) for block in _blocks(request))


class Cache:
    def __init__(self) -> None:
        self._entries: set[str] = set()

    def forget(self) -> None:
        self._entries.clear()

    def usage(self, request: Mapping[str, Any]) -> dict[str, int]:
        """Count a request's input, and remember its marks."""
        lengths, keys, marks = [0], [""], []
        key = str(request["model"])
        for block in _blocks(request):
            text = _encoded(_unmarked(block))
            key = hashlib.sha256((key + text).encode()).hexdigest()
            keys.append(key)
            lengths.append(lengths[-1] + _tokens(text))
            if block.get("cache_control"):
                marks.append(len(keys) - 1)
        hit = max((self._found(keys, mark) for mark in marks), default=0)
        long_enough = [mark for mark in marks if lengths[mark] >= SMALLEST_TOKENS]
        written = max(long_enough, default=0)
        self._entries.update(keys[mark] for mark in long_enough)
        end = max(hit, written)
        return {
            "input_tokens": lengths[-1] - lengths[end],
            "cache_read_input_tokens": lengths[hit],
            "cache_creation_input_tokens": lengths[end] - lengths[hit],
        }

    def _found(self, keys: list[str], mark: int) -> int:
        for place in range(mark, max(0, mark - LOOK_BACK) - 1, -1):
            if keys[place] in self._entries:
                return place
        return 0


def _tokens(text: str) -> int:
    return -(-len(text) // 4)


def _blocks(request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """In the order in which the API renders them."""
    yield from request.get("tools") or ()
    yield from _listed(request.get("system") or [])
    for message in request["messages"]:
        for block in _listed(message["content"]):
            yield {**block, "role": message["role"]}


def _listed(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _unmarked(block: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key != "cache_control"}
