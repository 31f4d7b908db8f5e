"""From `agent.models.interface.Request` to the body of a Messages API request, as plain values.

Pure: imports no SDK, does no I/O. Owns the rules of what the API takes (order, roles, empty blocks,
cache breakpoints) and keeps the prefix stable: a longer history starts with exactly what a shorter
one was, because prompt caching and the signatures of thinking blocks depend on it.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, assert_never

from agent.models.anthropic import server_tools as anthropic_server_tools
from agent.models.interface import (
    AssistantMessage,
    Image,
    Message,
    Opaque,
    Request,
    Text,
    ToolResult,
    ToolSpec,
    ToolUse,
    UserMessage,
)
from agent.models.utf8 import clean, encodable

PROVIDER: Final = "anthropic"

_CACHE_MARK: Final = {"type": "ephemeral"}

_SUMMARISED_THINKING: Final = {"type": "adaptive", "display": "summarized"}
"""For models that think adaptively by the API's models overview (October 2026). By default they
leave the text of their thinking out, and Opus 5.5 says what it does between tool calls only there;
so a summary is asked for. Other models get no thinking field: some refuse it."""

_NOTHING_SAID: Final = {"type": "text", "text": "(an empty message)"}

COMPACTION_BETA: Final = "compact-2026-09-04"
"""Source: the API's page on compaction on demand (October 2026): for the request that asks for a
summary, and for every later one that carries it."""

_OTHERS_FIELDS: Final = frozenset({"extra_content", "phase"})
"""What the modules of other providers keep beside a text or a call."""

_MOST_MARKS: Final = 2
"""Of the messages; the API takes four in all."""

Json = dict[str, Any]


def body(request: Request, *, model: str) -> Json:
    """The request's body without ``stream``."""
    messages = list(_messages(request.messages))
    _mark_tails(messages)
    result: Json = {"model": model, "max_tokens": request.max_tokens, "messages": messages}
    # The API renders tools, then system, then messages: a mark on the last of each of the first two
    # lets the tools be read from the cache when the system text changed.
    if request.system.strip():
        result["system"] = [_marked({"type": "text", "text": encodable(request.system)})]
    tools = [_tool(spec) for spec in request.tools]
    tools += anthropic_server_tools.declared(request.server_tools, model=model)
    if tools:
        tools[-1] = _marked(tools[-1])
        result["tools"] = tools
    # On Bedrock the name is "eu.anthropic.claude-…".
    if model.rpartition("anthropic.")[2].startswith(anthropic_server_tools.GENERATION_5):
        result["thinking"] = dict(_SUMMARISED_THINKING)
    if request.compact:
        result["compaction"] = {"type": "summarize"}
    return result


def betas(request: Request) -> tuple[str, ...]:
    """What the request needs beyond the API's stable part."""
    summarised = any(_is_summary(message) for message in request.messages[:1])
    return (COMPACTION_BETA,) if request.compact or summarised else ()


def _tool(spec: ToolSpec) -> Json:
    return {
        "name": spec.name,
        "description": spec.description,
        "input_schema": clean(spec.schema),
    }


def _messages(messages: Sequence[Message]) -> Iterator[Json]:
    """Alternating roles: the API would join neighbours of one role itself, but looks for the
    results of a call in the very next message."""
    current: Json | None = None
    for message in messages:
        role, content = _content(message)
        if not content:
            continue
        if current is not None and current["role"] == role and not _summary_alone(current):
            current["content"].extend(content)
            continue
        if current is not None:
            yield from _followed(current)
        current = {"role": role, "content": content}
    if current is not None:
        yield _results_first(current)


def _followed(message: Json) -> Iterator[Json]:
    """A message that is not the last."""
    if message["role"] == "assistant":
        message["content"] = anthropic_server_tools.settled(message["content"])
        if not message["content"]:
            message["content"] = [dict(_NOTHING_SAID)]
    yield _results_first(message)


def _content(message: Message) -> tuple[str, list[Json]]:
    match message:
        case UserMessage():
            blocks = [_user_block(block) for block in message.blocks]
            # Left out, it would make the answer before it the last message: a prefill, which
            # newer models refuse.
            return "user", [b for b in blocks if b is not None] or [dict(_NOTHING_SAID)]
        case AssistantMessage():
            mine = [_assistant_block(block) for block in message.blocks]
            return "assistant", [block for block in mine if block is not None]
        case _:
            assert_never(message)


def _is_summary(message: Message) -> bool:
    return any(
        isinstance(block, Opaque)
        and block.provider == PROVIDER
        and block.raw.get("type") == "compaction"
        for block in message.blocks
    )


def _summary_alone(message: Json) -> bool:
    """The turns that follow a summary must be sent as they were: nothing is joined to it."""
    return any(block["type"] == "compaction" for block in message["content"])


def _results_first(message: Json) -> Json:
    """Text before a result makes the API take the call for unanswered."""
    if message["role"] == "user":
        message["content"].sort(key=lambda block: block["type"] != "tool_result")
    return message


def _user_block(block: Text | ToolResult) -> Json | None:
    match block:
        case Text():
            return _text(block)
        case ToolResult():
            result: Json = {"type": "tool_result", "tool_use_id": block.tool_use_id}
            content: list[Json] = []
            if block.text.strip():
                content.append({"type": "text", "text": encodable(block.text)})
            if not block.is_error:  # with an error the API takes text only
                content += map(_image, block.images)
            if content:
                result["content"] = content
            if block.is_error:
                result["is_error"] = True
            return result


def _image(image: Image) -> Json:
    data = base64.b64encode(image.data).decode()
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": image.media_type, "data": data},
    }


def _assistant_block(block: Text | ToolUse | Opaque) -> Json | None:
    match block:
        case Text():
            return _text(block)
        case ToolUse():
            return {
                "type": "tool_use",
                "id": block.id,
                "name": block.name,
                "input": clean(block.arguments),
                **_own(block.extra),
            }
        case Opaque():
            return dict(block.raw) if block.provider == PROVIDER else None


def _text(block: Text) -> Json | None:
    if not block.text.strip():
        return None
    return {"type": "text", "text": encodable(block.text), **_own(block.extra)}


def _own(extra: Mapping[str, object]) -> Json:
    """The fields that this API gave; others took up the conversation at times."""
    return {key: value for key, value in extra.items() if key not in _OTHERS_FIELDS}


def _mark_tails(messages: list[Json]) -> None:
    """Mark the end of the last two user messages.

    The last mark writes the cache that the next request reads; the one before stands where the
    request before this one wrote, so that it is found however many blocks were added since (the API
    looks back 20 blocks from a mark at most).
    """
    users = [message for message in messages if message["role"] == "user"]
    for message in users[-_MOST_MARKS:]:
        for index in reversed(range(len(message["content"]))):
            block = message["content"][index]
            if block["type"] == "text" or block.get("content"):
                message["content"][index] = _marked(block)
                break


def _marked(block: Json) -> Json:
    return {**block, "cache_control": dict(_CACHE_MARK)}
