"""From `agent.models.interface.Request` to the body of a Responses API request, as plain values.

Pure: imports no SDK, does no I/O. Owns the rules of what the API takes: a result after its call, a
thought before what came of it and never alone. Nothing is left to the service's memory: the whole
input is sent each time, ``store`` is off and ``previous_response_id`` is not used, so that a
conversation taken up, forked or shortened is exactly what stands in its record.

Calls and words go back without the ids that the service gave them. With an id the API insists on
the thought that led there, which a shortened conversation has no more; without one it takes both.
"""

import hashlib
import json
import re
from collections.abc import Iterator
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
from agent.models.openai.dialect import THOUGHTS, Dialect
from agent.models.openai.responses.server_tools import declared
from agent.models.openai.tool_results import NOTHING_SAID, data_url, outcome, without_images
from agent.models.utf8 import clean, encodable

PROVIDER: Final = "responses"

PHASE: Final = "phase"
"""Of a message: comment or answer. By the SDK's docstrings newer models get worse without it."""

_ENCRYPTED: Final = "reasoning.encrypted_content"

_NEVER_REASON: Final = ("gpt-3.5", "gpt-4", "chatgpt")
"""Models that refuse to be asked for their thinking."""

_NO_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST: Final = 64
"""Of a name or a call's id. What a model or another service made up, the API may refuse."""

Json = dict[str, Any]


def body(request: Request, model: str, dialect: Dialect) -> Json:
    """The request's body without ``stream``."""
    items = [item for message in request.messages for item in _items(message, dialect)]
    result: Json = {
        "model": model,
        "input": items or [_said("user", NOTHING_SAID)],
        "store": False,
        str(dialect.limit): dialect.tokens(request.max_tokens),
    }
    if request.system.strip():
        result["instructions"] = encodable(request.system)
    tools = [_tool(spec) for spec in request.tools] + declared(request.server_tools)
    if tools:
        result["tools"] = tools
    if not model.rpartition("/")[2].startswith(_NEVER_REASON):
        result["include"] = [_ENCRYPTED]
        result["reasoning"] = {"summary": "auto"}
    result["prompt_cache_key"] = _cache_key(result)
    return {key: value for key, value in result.items() if key not in dialect.without}


def _cache_key(whole: Json) -> str:
    """One for all requests of a conversation: what they begin with."""
    start = json.dumps([whole["model"], whole.get("instructions"), whole["input"][0]])
    return hashlib.sha256(start.encode()).hexdigest()[:32]


def _tool(spec: ToolSpec) -> Json:
    return {
        "type": "function",
        "name": spec.name,
        "description": spec.description,
        "parameters": clean(spec.schema),
        # A strict schema has no optional fields, and ours do.
        "strict": False,
    }


def _items(message: Message, dialect: Dialect) -> Iterator[Json]:
    match message:
        case UserMessage():
            yield from _of_user(message, dialect)
        case AssistantMessage():
            yield from _of_assistant(message, dialect)
        case _:
            assert_never(message)


def _of_user(message: UserMessage, dialect: Dialect) -> Iterator[Json]:
    for block in message.blocks:
        if isinstance(block, ToolResult):
            yield {
                "type": "function_call_output",
                "call_id": _call_id(block.tool_use_id),
                "output": _output(block, dialect),
            }
    texts = [block.text for block in message.blocks if isinstance(block, Text)]
    said = [text for text in texts if text.strip()]
    if not said and any(isinstance(block, ToolResult) for block in message.blocks):
        return
    # Left out, it would make the answer before it the last item.
    parts = [{"type": "input_text", "text": encodable(text)} for text in said or [NOTHING_SAID]]
    yield {"type": "message", "role": "user", "content": parts}


def _output(result: ToolResult, dialect: Dialect) -> str | list[Json]:
    if not result.images:
        return outcome(result)
    words: list[Json] = [{"type": "input_text", "text": outcome(result)}]
    if "input_image" in dialect.without:
        return [*words, {"type": "input_text", "text": without_images(result)}]
    images = ({"type": "input_image", "image_url": data_url(image)} for image in result.images)
    return [*words, *images]


def _of_assistant(message: AssistantMessage, dialect: Dialect) -> list[Json]:
    items = [item for block in message.blocks for item in _of_block(block, dialect)]
    while items and items[-1]["type"] == "reasoning":
        # The reply was cut off there: the API takes no thought of which nothing came.
        items.pop()
    return items


def _of_block(block: Text | ToolUse | Opaque, dialect: Dialect) -> Iterator[Json]:
    match block:
        case Text():
            if block.text.strip():
                phase = {PHASE: block.extra[PHASE]} if PHASE in block.extra else {}
                yield {**_said("assistant", encodable(block.text)), **phase}
        case ToolUse():
            yield {
                "type": "function_call",
                "call_id": _call_id(block.id),
                "name": _NO_NAME.sub("_", block.name)[:_LONGEST] or "_",
                "arguments": json.dumps(clean(block.arguments), ensure_ascii=False),
            }
        case Opaque():
            # What the service's own tools did belongs to the thoughts around it.
            if block.provider == PROVIDER and THOUGHTS not in dialect.without:
                yield dict(block.raw)
        case _:
            assert_never(block)


def _call_id(identifier: str) -> str:
    text = encodable(identifier)
    return text if len(text) <= _LONGEST else hashlib.sha256(text.encode()).hexdigest()


def _said(role: str, text: str) -> Json:
    return {"type": "message", "role": role, "content": text}


def is_taken_back(item: Json) -> bool:
    """Whether a whole item of an answer, not a call or words, may be sent again."""
    if item["type"] != "reasoning":
        return True
    # With neither, the API looks for it in its memory, where it was never kept.
    return bool(item.get("encrypted_content") or item.get("content"))
