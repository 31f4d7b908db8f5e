"""An answer as the chunks of a stream, and as one completion."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from standins.exchange.replies import Answer, Call, Raw, Thought, pieces
from standins.exchange.server import Context, Event
from standins.openai.quirks import Quirk

Json = dict[str, Any]


def completion(answer: Answer, context: Context) -> Json:
    """As without streaming."""
    calls = [_call(call, number, context) for number, call in enumerate(_calls(answer))]
    text = "".join(block for block in answer.blocks if isinstance(block, str))
    message: Json = {"role": "assistant", "content": text or None, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    reason = stop_reason(answer)
    return {
        **_head(context, "chat.completion"),
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": _usage(answer, context),
    }


def chunks(answer: Answer, context: Context, quirks: frozenset[Quirk]) -> Iterator[Event]:
    """In the API's order, or as the quirks have it."""
    asked = (context.request.get("stream_options") or {}).get("include_usage")
    counted = bool(asked) and Quirk.NO_USAGE not in quirks
    running = _usage(answer, context) if Quirk.USAGE_IN_EACH_CHUNK in quirks else None

    def chunk(kind: str, delta: Json, reason: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        whole = {**_head(context, "chat.completion.chunk"), "choices": [choice]}
        if counted:
            whole["usage"] = running
        return kind, encoded(whole)

    yield chunk("role", {"role": "assistant", "content": "", "refusal": None})
    for kind, delta in _words(answer, quirks):
        yield ("raw", encoded(delta)) if kind == "raw" else chunk(kind, delta)
    deltas = list(_deltas(answer, context, quirks))
    reason = _odd_reason(stop_reason(answer), quirks)
    if Quirk.ALL_IN_ONE_CHUNK in quirks and deltas:
        yield chunk("finish", {"tool_calls": [d["tool_calls"][0] for d in deltas]}, reason)
    else:
        yield from (chunk("call", delta) for delta in deltas)
        yield chunk("finish", {}, reason)
    if counted:
        last = {**_head(context, "chat.completion.chunk"), "choices": []}
        yield "usage", encoded({**last, "usage": _usage(answer, context)})
    if Quirk.NO_DONE not in quirks:
        yield "done", b"data: [DONE]\n\n"


def _words(answer: Answer, quirks: frozenset[Quirk]) -> Iterator[tuple[str, Json]]:
    for block in answer.blocks:
        match block:
            case str():
                yield from (("content", {"content": piece}) for piece in pieces(block))
            case Thought():
                names = _reasoning(quirks)
                yield from (("reasoning", dict.fromkeys(names, p)) for p in pieces(block.text))
            case Raw():
                # A whole chunk.
                yield "raw", dict(block.block)
            case Call():
                pass
    refusal = str((answer.stop_details or {}).get("refusal") or "")
    yield from (("refusal", {"refusal": piece}) for piece in pieces(refusal))


def _odd_reason(reason: str, quirks: frozenset[Quirk]) -> str:
    if reason == "tool_calls" and Quirk.STOP_FOR_CALLS in quirks:
        return "stop"
    if reason == "tool_calls" and Quirk.FUNCTION_CALL in quirks:
        return "function_call"
    return reason


def stop_reason(answer: Answer) -> str:
    return answer.stop or ("tool_calls" if _calls(answer) else "stop")


def encoded(chunk: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _head(context: Context, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{context.number:04}",
        "object": kind,
        "created": 1_790_000_000,
        "model": context.request["model"],
        "service_tier": "default",
    }


def _usage(answer: Answer, context: Context) -> Json:
    output = 1 + sum(-(-len(str(block)) // 4) for block in answer.blocks)
    prompt = context.usage["prompt_tokens"]
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": context.usage["cached_tokens"]},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _calls(answer: Answer) -> list[Call]:
    return [block for block in answer.blocks if isinstance(block, Call)]


def _reasoning(quirks: frozenset[Quirk]) -> list[str]:
    if Quirk.REASONING_TWICE in quirks:
        return ["reasoning", "reasoning_content"]
    return ["reasoning" if Quirk.REASONING_NAMED_SHORT in quirks else "reasoning_content"]


def _call(call: Call, number: int, context: Context) -> Json:
    written = json.dumps(dict(call.arguments)) if call.written is None else call.written
    return {
        "id": call.id or f"call_{context.number:04}_{number:02}",
        "type": "function",
        "function": {"name": call.name, "arguments": written},
    }


def _deltas(answer: Answer, context: Context, quirks: frozenset[Quirk]) -> Iterator[Json]:
    for number, given in enumerate(_calls(answer)):
        whole = _call(given, number, context)
        name, written = whole["function"]["name"], whole["function"]["arguments"]
        identifier = f"call_{context.number:04}" if Quirk.ONE_ID_FOR_ALL in quirks else whole["id"]
        if Quirk.FUNCTION_CALL in quirks:
            yield {"function_call": {"name": name, "arguments": ""}}
            yield from ({"function_call": {"arguments": piece}} for piece in pieces(written))
            continue
        first: Json = {"id": identifier, "type": "function"}
        if Quirk.NO_ID in quirks:
            first.pop("id")
        if not quirks.isdisjoint({Quirk.WHOLE_CALLS, Quirk.ALL_IN_ONE_CHUNK}):
            parts = [{**first, "function": {"name": name, "arguments": written}}]
        elif Quirk.OBJECT_ARGUMENTS in quirks and given.written is None:
            parts = [{**first, "function": {"name": name, "arguments": dict(given.arguments)}}]
        else:
            parts = [{**first, "function": {"name": name, "arguments": ""}}]
            parts += [{"function": {"arguments": piece}} for piece in pieces(written)]
        for part in parts:
            yield {"tool_calls": [_odd(part, number, identifier, quirks)]}


def _odd(part: Json, number: int, identifier: str, quirks: frozenset[Quirk]) -> Json:
    if Quirk.EMPTY_ID in quirks:
        part = {**part, "id": ""}
    if Quirk.ID_IN_EACH_DELTA in quirks:
        part = {**part, "id": identifier}
    if Quirk.NO_INDEX in quirks:
        return part
    offset = 1 if Quirk.INDEX_FROM_ONE in quirks else 0
    return {"index": 0 if Quirk.INDEX_ALWAYS_ZERO in quirks else number + offset, **part}
