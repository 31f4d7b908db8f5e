"""An answer as the events of a stream, as the bytes of those events, and as one message."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from standins.anthropic import signing
from standins.exchange.replies import Answer, Call, Found, Raw, Search, Thought, pieces
from standins.exchange.server import Context

Event = tuple[str, dict[str, Any]]


def message(answer: Answer, context: Context) -> dict[str, Any]:
    """As without streaming."""
    content = [block for block, _ in _blocks(answer, context)]
    for block in content:
        if block["type"] == "tool_use" and isinstance(block["input"], str):
            block["input"] = json.loads(block["input"])
    return {
        **_head(context),
        "content": content,
        "stop_reason": stop_reason(answer),
        "stop_details": answer.stop_details,
        "usage": {
            **context.usage,
            "output_tokens": _output(content, context),
            "server_tool_use": _server_tool_use(answer),
        },
    }


def events(answer: Answer, context: Context) -> Iterator[Event]:
    """In the documented order."""
    head = {**_head(context), "usage": {"output_tokens": 1, **context.usage}}
    yield "message_start", {"message": head}
    blocks = list(_blocks(answer, context))
    for index, (block, given) in enumerate(blocks):
        start, deltas = _unfolded(block)
        yield "content_block_start", {"index": index, "content_block": start}
        for delta in [*deltas, *given]:
            yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    delta = {
        "stop_reason": stop_reason(answer),
        "stop_sequence": None,
        "stop_details": answer.stop_details,
    }
    usage = {
        "output_tokens": _output([block for block, _ in blocks], context),
        "server_tool_use": _server_tool_use(answer),
    }
    yield "message_delta", {"delta": delta, "usage": usage}
    yield "message_stop", {}


def _server_tool_use(answer: Answer) -> dict[str, int] | None:
    searches = sum(isinstance(block, Search) for block in answer.blocks)
    return {"web_search_requests": searches, "web_fetch_requests": 0} if searches else None


def stop_reason(answer: Answer) -> str:
    calls = any(isinstance(block, Call) for block in answer.blocks)
    return answer.stop or ("tool_use" if calls else "end_turn")


def encoded(event: Event) -> bytes:
    kind, fields = event
    data = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode()


PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def _head(context: Context) -> dict[str, Any]:
    return {
        "id": f"msg_{context.number:04}",
        "type": "message",
        "role": "assistant",
        "model": context.request["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "container": None,
    }


def _blocks(
    answer: Answer, context: Context
) -> Iterator[tuple[dict[str, Any], tuple[Mapping[str, Any], ...]]]:
    """Whole blocks, in the form in which they are to come back, with further deltas."""
    before: list[dict[str, Any]] = []
    for place, given in enumerate(answer.blocks):
        identifier = f"toolu_{context.number:04}_{place:02}"
        if isinstance(given, Search):
            for block in _searched(given, f"srv{identifier}"):
                yield block, ()
                before.append(block)
            continue
        block, deltas = _block(given, identifier, before, context)
        yield block, deltas
        if not (block["type"] == "text" and not block["text"].strip()):
            before.append(block)


def _searched(given: Search, identifier: str) -> Iterator[dict[str, Any]]:
    """As the API's page on web search shows them."""
    yield {
        "type": "server_tool_use",
        "id": identifier,
        "name": "web_search",
        "input": {"query": given.query},
        "caller": {"type": "direct"},
    }
    if given.found is not None:
        yield _result(given.found, identifier)


def _result(pages: Sequence[tuple[str, str]], identifier: str) -> dict[str, Any]:
    return {
        "type": "web_search_tool_result",
        "tool_use_id": identifier,
        "caller": None,
        "content": [
            {
                "type": "web_search_result",
                "title": title,
                "url": url,
                "encrypted_content": signing.sealed(title, url),
                "page_age": None,
            }
            for title, url in pages
        ],
    }


def _left_open(request: Mapping[str, Any]) -> str:
    """Id of the newest call of the service's own in a request."""
    content = request["messages"][-1]["content"]
    return next(str(b["id"]) for b in reversed(content) if b["type"] == "server_tool_use")


def _block(
    given: str | Call | Thought | Raw | Found,
    identifier: str,
    before: Sequence[Mapping[str, Any]],
    context: Context,
) -> tuple[dict[str, Any], tuple[Mapping[str, Any], ...]]:
    match given:
        case str():
            return {"type": "text", "text": given, "citations": None}, ()
        case Thought(redacted=True):
            data = signing.redacted(context.request, before)
            return {"type": "redacted_thinking", "data": data}, ()
        case Thought():
            signature = signing.sign(context.request, before, given.text)
            return {"type": "thinking", "thinking": given.text, "signature": signature}, ()
        case Found():
            return _result(given.pages, _left_open(context.request)), ()
        case Raw():
            return dict(given.block), given.deltas
        case Call():
            return {
                "type": "tool_use",
                "id": given.id or identifier,
                "name": given.name,
                "input": dict(given.arguments) if given.written is None else given.written,
                "caller": {"type": "direct"},
            }, ()


def _unfolded(block: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as its first event shows it, and the deltas that make it whole."""
    match block["type"]:
        case "text":
            deltas = [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
            return {**block, "text": ""}, deltas
        case "thinking":
            deltas = [
                {"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])
            ]
            signature = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*deltas, signature]
        case "tool_use" | "server_tool_use" if block.get("caller"):
            given = block["input"]
            written = given if isinstance(given, str) else json.dumps(given) if given else ""
            deltas = [
                {"type": "input_json_delta", "partial_json": piece}
                for piece in ["", *pieces(written)]
            ]
            return {**block, "input": {}}, deltas
        case "compaction":
            delta = {"type": "compaction_delta", "content": block["content"]}
            return {**block, "content": None}, [{**delta, "encrypted_content": None}]
        case _:
            return dict(block), []


def _output(content: Sequence[Mapping[str, Any]], context: Context) -> int:
    # A summary is no reply: it stands in the iterations only.
    return 0 if "iterations" in context.usage else _output_tokens(content)


def _output_tokens(content: Sequence[Mapping[str, Any]]) -> int:
    return 1 + sum(-(-len(json.dumps(block)) // 4) for block in content)
