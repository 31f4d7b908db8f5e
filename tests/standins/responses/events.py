"""An answer as the events of a stream, and as one response."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from standins.exchange.replies import Answer, Call, Raw, Search, Thought, pieces
from standins.exchange.server import Context, Event
from standins.responses import sealing
from standins.responses.quirks import ResponsesQuirk

Json = dict[str, Any]

_CUT = "max_output_tokens"
_FAILED = "failed"
"""As `Answer.stop`: the response fails, with the error of `Answer.stop_details`."""


def response(answer: Answer, context: Context, quirks: frozenset[ResponsesQuirk]) -> Json:
    """As without streaming, and in the last event."""
    whole = _head(context, _status(answer))
    reason = answer.stop if answer.stop != _FAILED else None
    whole["incomplete_details"] = {"reason": reason} if reason else None
    if answer.stop == _FAILED:
        given = {"code": "server_error", "message": "as the test asked"}
        whole["error"] = given | dict(answer.stop_details or {})
    if ResponsesQuirk.EMPTY_END not in quirks:
        whole["output"] = items(answer, context, quirks)
    if ResponsesQuirk.NO_USAGE not in quirks:
        whole["usage"] = _usage(answer, context, quirks)
    searches = sum(isinstance(block, Search) for block in answer.blocks)
    if searches:
        none = {"image_tokens": 0, "text_tokens": 0}
        image = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        whole["tool_usage"] = {
            "image_gen": {**image, "input_tokens_details": none},
            "web_search": {"num_requests": searches},
        }
    return whole


def events(answer: Answer, context: Context, quirks: frozenset[ResponsesQuirk]) -> list[Event]:
    """In the API's order, or as the quirks have it."""
    told = answer
    if ResponsesQuirk.NEVER_INCOMPLETE in quirks and answer.stop == _CUT:
        told = replace(answer, stop=None)
    found = list(_plain(told, context, quirks))
    if told is not answer:
        found[-1]["response"]["usage"] = _usage(answer, context, quirks)
    if ResponsesQuirk.ONLY_THE_END in quirks:
        found = found[-1:]
    fixed = ResponsesQuirk.ONE_SEQUENCE_NUMBER in quirks
    return [
        (event["type"], encoded({"sequence_number": 7 if fixed else number, **event}))
        for number, event in enumerate(found)
    ]


def encoded(event: Mapping[str, Any]) -> bytes:
    return f"event: {event.get('type')}\ndata: {json.dumps(event)}\n\n".encode()


def items(answer: Answer, context: Context, quirks: frozenset[ResponsesQuirk]) -> list[Json]:
    """The output of a whole answer."""
    made: list[Json] = []
    for number, block in enumerate(answer.blocks):
        made.append(_item(block, number, context, quirks))
    refusal = (answer.stop_details or {}).get("refusal")
    if refusal:
        part = {"type": "refusal", "refusal": refusal}
        made.append(_message(f"msg_{context.number:04}_r", [part]))
    if answer.stop is not None and made:
        made[-1]["status"] = "incomplete"
    return made


def _plain(answer: Answer, context: Context, quirks: frozenset[ResponsesQuirk]) -> Iterator[Json]:
    started = _head(context, "in_progress")
    yield {"type": "response.created", "response": started}
    yield {"type": "response.in_progress", "response": started}
    for number, item in enumerate(items(answer, context, quirks)):
        yield from _of_item(number, item, quirks)
    ends = {"completed": "response.completed", _FAILED: "response.failed"}
    kind = ends.get(_status(answer), "response.incomplete")
    yield {"type": kind, "response": response(answer, context, quirks)}


def _of_item(number: int, item: Json, quirks: frozenset[ResponsesQuirk]) -> Iterator[Json]:
    place: Json = {"output_index": number}
    if ResponsesQuirk.INDEX_GAPS in quirks:
        place = {"output_index": 3 * number + 1}
    elif ResponsesQuirk.INDEX_ALWAYS_ZERO in quirks:
        place = {"output_index": 0}
    elif ResponsesQuirk.NO_INDEX in quirks:
        place = {}
    identifier = item.get("id", "")
    if ResponsesQuirk.CHANGING_IDS in quirks:
        identifier = f"other_{identifier}"
    if ResponsesQuirk.UNANNOUNCED not in quirks:
        begun = {**item, "id": identifier, **_begun(item)}
        yield {"type": "response.output_item.added", "item": begun, **place}
    if ResponsesQuirk.NO_PIECES not in quirks:
        for piece in _pieces(item):
            yield {**piece, "item_id": identifier, **place}
    if ResponsesQuirk.NO_ARGUMENTS_AT_END in quirks and item["type"] == "function_call":
        item = {**item, "arguments": ""}
    yield {"type": "response.output_item.done", "item": item, **place}


def _begun(item: Json) -> Json:
    match item["type"]:
        case "message":
            return {"content": [], "status": "in_progress"}
        case "function_call":
            return {"arguments": "", "status": "in_progress"}
        case "reasoning":
            # By the SDK's docstring it may be incomplete here.
            sealed = {"encrypted_content": "begun"} if "encrypted_content" in item else {}
            return {"summary": [], **sealed}
        case _:
            return {}


def _pieces(item: Json) -> Iterator[Json]:
    match item["type"]:
        case "message":
            for number, part in enumerate(item["content"]):
                yield from _of_part(number, part)
        case "function_call":
            written = item["arguments"]
            for piece in pieces(written if isinstance(written, str) else json.dumps(written)):
                yield {"type": "response.function_call_arguments.delta", "delta": piece}
            yield {
                "type": "response.function_call_arguments.done",
                "arguments": written,
                "name": item["name"],
            }
        case "reasoning":
            yield from _of_thought(item)
        case "web_search_call":
            for state in ("in_progress", "searching", "completed"):
                yield {"type": f"response.web_search_call.{state}"}


def _of_part(number: int, part: Json) -> Iterator[Json]:
    place = {"content_index": number}
    text = "text" if part["type"] == "output_text" else "refusal"
    kind = part["type"]
    more: Json = {"logprobs": []} if text == "text" else {}
    yield {"type": "response.content_part.added", "part": {**part, text: ""}, **place}
    for piece in pieces(part[text]):
        yield {"type": f"response.{kind}.delta", "delta": piece, **more, **place}
    yield {"type": f"response.{kind}.done", text: part[text], **more, **place}
    yield {"type": "response.content_part.done", "part": part, **place}


def _of_thought(item: Json) -> Iterator[Json]:
    for number, part in enumerate(item["summary"]):
        place = {"summary_index": number}
        yield {
            "type": "response.reasoning_summary_part.added",
            "part": {**part, "text": ""},
            **place,
        }
        for piece in pieces(part["text"]):
            yield {"type": "response.reasoning_summary_text.delta", "delta": piece, **place}
        yield {
            "type": "response.reasoning_summary_text.done",
            "text": part["text"],
            **place,
        }
        yield {"type": "response.reasoning_summary_part.done", "part": part, **place}
    for number, part in enumerate(item.get("content", ())):
        for piece in pieces(part["text"]):
            yield {
                "type": "response.reasoning_text.delta",
                "delta": piece,
                "content_index": number,
            }


def _item(block: object, number: int, context: Context, quirks: frozenset[ResponsesQuirk]) -> Json:
    name = f"{context.number:04}_{number:02}"
    match block:
        case str():
            part = {"type": "output_text", "text": block, "annotations": [], "logprobs": []}
            return _message(f"msg_{name}", [part])
        case Call():
            return _call(block, name, context, quirks)
        case Thought() if ResponsesQuirk.PLAIN_REASONING in quirks:
            content = [{"type": "reasoning_text", "text": block.text}]
            return {"type": "reasoning", "id": f"rs_{name}", "summary": [], "content": content}
        case Thought():
            summary = [] if block.redacted else [{"type": "summary_text", "text": block.text}]
            thought: Json = {"type": "reasoning", "id": f"rs_{name}", "summary": summary}
            if "reasoning.encrypted_content" in (context.request.get("include") or ()):
                thought["encrypted_content"] = sealing.sealed(context.request, thought)
            return thought
        case Search():
            action = {"type": "search", "query": block.query, "queries": [block.query]}
            return {
                "type": "web_search_call",
                "id": f"ws_{name}",
                "status": "completed",
                "action": action,
            }
        case Raw():
            return dict(block.block)
        case _:
            raise AssertionError(f"this API has no {block!r}")


def _message(identifier: str, content: list[Json]) -> Json:
    return {
        "type": "message",
        "id": identifier,
        "role": "assistant",
        "status": "completed",
        "content": content,
    }


def _call(call: Call, name: str, context: Context, quirks: frozenset[ResponsesQuirk]) -> Json:
    written: object = json.dumps(dict(call.arguments)) if call.written is None else call.written
    if ResponsesQuirk.OBJECT_ARGUMENTS in quirks and call.written is None:
        written = dict(call.arguments)
    one = ResponsesQuirk.ONE_CALL_ID_FOR_ALL in quirks
    made: Json = {
        "type": "function_call",
        "id": f"fc_{name}",
        "call_id": call.id or (f"call_{context.number:04}" if one else f"call_{name}"),
        "name": call.name,
        "arguments": written,
        "status": "completed",
    }
    if ResponsesQuirk.NO_CALL_ID in quirks:
        made.pop("call_id")
    return made


def _status(answer: Answer) -> str:
    if answer.stop is None:
        return "completed"
    return _FAILED if answer.stop == _FAILED else "incomplete"


def _head(context: Context, status: str) -> Json:
    asked = context.request
    return {
        "id": f"resp_{context.number:04}",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": asked.get("instructions"),
        "max_output_tokens": asked.get("max_output_tokens"),
        "model": asked["model"],
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": asked.get("store", True),
        "tool_choice": "auto",
        "tools": list(asked.get("tools") or ()),
        "usage": None,
        "metadata": {},
    }


def _usage(answer: Answer, context: Context, quirks: frozenset[ResponsesQuirk]) -> Json:
    thought = sum(-(-len(block.text) // 4) for block in answer.blocks if isinstance(block, Thought))
    said = 1 + sum(
        -(-len(str(block)) // 4) for block in answer.blocks if not isinstance(block, Thought)
    )
    most = context.request.get("max_output_tokens")
    if most is not None:
        # No more than there may be, and all of it only where that was what ended it.
        thought = min(thought, most // 2)
        said = most - thought if answer.stop == _CUT else min(said, most - thought - 1)
    prompt, cached = context.usage["prompt_tokens"], context.usage["cached_tokens"]
    apart = ResponsesQuirk.THINKING_APART in quirks
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": said if apart else said + thought,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": prompt + said + thought,
    }
