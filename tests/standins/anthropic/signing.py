"""Signatures of thinking blocks, and the check that they come back where they were and unchanged.

By the API's pages on preserved thinking (October 2026): a block is bound to its own content, to the
model, and to the system prompt, the tools and everything before it; a cache mark is no change, nor
is a summary of the service's own in place of the messages that it was made of.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Any

from standins.exchange.faults import FaultError

_SECRET = b"the stand-in's"
_SIGNED = {"thinking": "thinking", "redacted_thinking": "data"}

_SUMMARISED: dict[str, tuple[str, list[dict[str, Any]]]] = {}
"""What each summary was made of, by its signature, with its text: the service's memory."""


def sign(request: Mapping[str, Any], before: Iterable[Mapping[str, Any]], text: str) -> str:
    """For a thinking block of the answer to ``request``, after the blocks ``before`` it there."""
    bound = _Binding(request)
    for message in unfolded(request["messages"]):
        for block in _listed(message["content"]):
            bound.add(message["role"], block)
    for block in before:
        bound.add("assistant", block)
    return bound.signature(text)


def summary(request: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The compaction block for the messages of a request."""
    messages = unfolded(request["messages"])
    digest = hmac.new(_SECRET, json.dumps([_plain(messages), text]).encode(), hashlib.sha256)
    signature = base64.b64encode(digest.digest()).decode()
    _SUMMARISED[signature] = (text, messages)
    return {"type": "compaction", "content": text, "signature": signature}


def unfolded(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """With what a leading summary stands for in its place."""
    plain = [dict(message) for message in messages]
    first = plain[0]["content"] if plain else None
    if not isinstance(first, list) or not first or first[0]["type"] != "compaction":
        return plain
    block, *rest = first
    text, before = _SUMMARISED.get(str(block.get("signature")), (None, []))
    if text is None:
        raise FaultError("compaction_signature_invalid: the block's signature does not verify")
    if block.get("content") != text:
        raise FaultError("compaction_content_mismatch: the block's content is not what was signed")
    head = [{**plain[0], "content": rest}] if rest else []
    return [*before, *head, *plain[1:]]


def redacted(request: Mapping[str, Any], before: Iterable[Mapping[str, Any]]) -> str:
    return "redacted:" + sign(request, before, "redacted")


def sealed(title: str, url: str) -> str:
    """What stands for a found page's text: the service alone can read it, and takes no other."""
    digest = hmac.new(_SECRET, f"{title}\0{url}".encode(), hashlib.sha256).digest()
    return "found:" + base64.b64encode(digest).decode()


def check_found(block: Mapping[str, Any], place: str) -> None:
    """Raise the API's fault for a search result that is not as it was given."""
    content = block["content"]
    for page in content if isinstance(content, list) else ():
        if page["encrypted_content"] != sealed(page["title"], page["url"]):
            raise FaultError(f"{place}: Invalid `encrypted_content` in `search_result` block")


def check(request: Mapping[str, Any]) -> None:
    """Raise the API's fault for a block that is not as it was made, or not where."""
    bound = _Binding(request)
    for number, message in enumerate(unfolded(request["messages"])):
        signs = message["role"] == "assistant"
        for place, block in enumerate(_listed(message["content"])):
            if signs and isinstance(block, dict) and block["type"] in _SIGNED:
                text = "redacted" if block["type"] == "redacted_thinking" else block["thinking"]
                expected = bound.signature(text)
                given = str(
                    block.get("signature") or block.get("data", "").removeprefix("redacted:")
                )
                if not hmac.compare_digest(expected.encode(), given.encode()):
                    raise FaultError(
                        f"messages.{number}.content.{place}: Invalid `signature` in "
                        f"`{block['type']}` block. The block is bound to a different conversation."
                    )
            bound.add(message["role"], block)


class _Binding:
    """What a signature stands for besides its own text: the request, and all blocks before it.

    A paused turn goes on in the same message: where a message ends does not count.
    """

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._digest = hmac.new(_SECRET, digestmod=hashlib.sha256)
        for name in ("model", "system", "tools"):
            self._update(_plain(request.get(name)))

    def add(self, role: str, block: Any) -> None:
        self._update([role, _plain(block)])

    def signature(self, text: str) -> str:
        signed = self._digest.copy()
        signed.update(_encoded(text))
        return base64.b64encode(signed.digest()).decode()

    def _update(self, value: Any) -> None:
        self._digest.update(_encoded(value))


def _encoded(value: Any) -> bytes:
    """A line of its own."""
    return json.dumps(value, sort_keys=True).encode() + b"\n"


def _listed(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [content]


def _plain(value: Any) -> Any:
    match value:
        case dict():
            # A null field is one that is not there.
            return {
                key: _plain(item)
                for key, item in value.items()
                if key != "cache_control" and item is not None
            }
        case list():
            return [_plain(item) for item in value]
        case _:
            return value
