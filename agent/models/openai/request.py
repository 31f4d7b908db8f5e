"""From `agent.models.interface.Request` to the body of a chat-completions request, as plain values.

Pure: imports no SDK, does no I/O. Owns the rules of what the API takes: one ``tool`` message for
each result, straight after the calls; text only in them, so that images follow as the user's.
Keeps the prefix stable: a longer history starts with exactly what a shorter one was, because the
services cache by prefix, most of them without being asked.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, assert_never

from agent.models.interface import (
    AssistantMessage,
    Message,
    Opaque,
    Request,
    Text,
    ToolResult,
    ToolSpec,
    ToolUse,
    UserMessage,
)
from agent.models.openai.dialect import Dialect
from agent.models.openai.tool_results import (
    NOTHING_SAID,
    data_url,
    images_of,
    outcome,
    without_images,
)
from agent.models.utf8 import clean, encodable

PROVIDER: Final = "openai"

REASONING: Final = ("reasoning_content", "reasoning")
"""Where services put a model's thinking, which OpenAI's own never shows. It goes back where it came
from: DeepSeek and Kimi refuse a turn of calls without it, others pass it over."""

DETAILS: Final = "reasoning_details"
"""Where OpenRouter puts the same with the signatures of those who thought, in a list. It goes back
as it came: Gemini and others refuse the results of calls without it."""

Json = dict[str, Any]


def body(request: Request, model: str, dialect: Dialect) -> Json:
    """The request's body without ``stream``."""
    result: Json = {
        "model": model,
        "messages": [*_system(request.system), *_joined(_messages(request.messages, dialect))],
        str(dialect.limit): dialect.tokens(request.max_tokens),
    }
    if request.tools:
        # An empty list is refused.
        result["tools"] = [_tool(spec) for spec in request.tools]
    if "stream_options" not in dialect.without:
        # Without it, a stream does not say what it used.
        result["stream_options"] = {"include_usage": True}
    return result


def _system(text: str) -> Iterator[Json]:
    if text.strip():
        yield {"role": "system", "content": encodable(text)}


def _tool(spec: ToolSpec) -> Json:
    function = {
        "name": spec.name,
        "description": spec.description,
        "parameters": clean(spec.schema),
    }
    return {"type": "function", "function": function}


def _messages(messages: Sequence[Message], dialect: Dialect) -> Iterator[Json]:
    for message in messages:
        match message:
            case UserMessage():
                yield from _of_user(message, dialect)
            case AssistantMessage():
                yield from _of_assistant(message, dialect)
            case _:
                assert_never(message)


def _of_user(message: UserMessage, dialect: Dialect) -> Iterator[Json]:
    results = [block for block in message.blocks if isinstance(block, ToolResult)]
    for result in results:
        yield {
            "role": "tool",
            "tool_call_id": encodable(result.tool_use_id),
            "content": outcome(result),
        }
    parts: list[Json] = []
    for result in results:
        parts += _images(result, dialect)
    texts = [block.text for block in message.blocks if isinstance(block, Text)]
    parts += [_text(text) for text in texts if text.strip()]
    if not parts and not results:
        # Left out, it would make the answer before it the last message.
        parts = [_text(NOTHING_SAID)]
    if parts:
        yield {"role": "user", "content": parts}


def _images(result: ToolResult, dialect: Dialect) -> Iterator[Json]:
    if not result.images:
        return
    if "image_url" in dialect.without:
        yield _text(without_images(result))
        return
    yield _text(encodable(f"({images_of(result)}:)"))
    for image in result.images:
        yield {"type": "image_url", "image_url": {"url": data_url(image)}}


def _of_assistant(message: AssistantMessage, dialect: Dialect) -> Iterator[Json]:
    texts = [block.text for block in message.blocks if isinstance(block, Text)]
    calls = [_call(block, dialect) for block in message.blocks if isinstance(block, ToolUse)]
    words = "\n\n".join(encodable(text) for text in texts if text.strip())
    if not words and not calls:
        return
    result: Json = {"role": "assistant", "content": words or None}
    if calls:
        result["tool_calls"] = calls
    for block in message.blocks:
        if isinstance(block, Opaque) and block.provider == PROVIDER:
            # Nothing else of ours is opaque, and no record may put a role or a call here.
            kept = {key: block.raw[key] for key in (*REASONING, DETAILS) if key in block.raw}
            result |= {key: clean(kept[key]) for key in kept if key not in dialect.without}
    yield result


def _call(use: ToolUse, dialect: Dialect) -> Json:
    arguments = json.dumps(clean(use.arguments), ensure_ascii=False)
    result: Json = {
        "id": encodable(use.id),
        "type": "function",
        "function": {"name": encodable(use.name), "arguments": arguments},
    }
    extra = use.extra.get("extra_content")
    if extra is not None and "extra_content" not in dialect.without:
        result["extra_content"] = clean(extra)
    return result


def _joined(messages: Iterator[Json]) -> Iterator[Json]:
    """Neighbours of one role as one message: the templates of many models insist on turns."""
    current: Json | None = None
    for message in messages:
        if current is not None and _joins(current, message):
            _join(current, message)
            continue
        if current is not None:
            yield _plain(current)
        current = dict(message)
    if current is not None:
        yield _plain(current)


def _joins(first: Json, second: Json) -> bool:
    if first["role"] != second["role"] or first["role"] == "tool":
        return False
    # Thinking belongs to the turn it came with.
    own = (*REASONING, DETAILS)
    return not any(key in message for message in (first, second) for key in own)


def _join(first: Json, second: Json) -> None:
    if first["role"] == "user":
        first["content"] = [*first["content"], *second["content"]]
        return
    words = [part for part in (first["content"], second["content"]) if part]
    first["content"] = "\n\n".join(words) or None
    calls = [*first.get("tool_calls", ()), *second.get("tool_calls", ())]
    if calls:
        first["tool_calls"] = calls


def _plain(message: Json) -> Json:
    """Text as a text where there is nothing else: not every service takes parts."""
    content = message["content"]
    if isinstance(content, list) and all(part["type"] == "text" for part in content):
        return {**message, "content": "\n\n".join(part["text"] for part in content)}
    return message


def _text(text: str) -> Json:
    return {"type": "text", "text": encodable(text)}
