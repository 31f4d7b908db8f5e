"""What the API refuses beside wrong fields: order, pairing, names, empty and marked blocks.

Sources: the SDK's docstrings, the API's pages on tool use, prompt caching and errors (October
2026). Pure: from a request's headers and body to a fault.
"""

import base64
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from anthropic.types.model_param import ModelParam

from standins.anthropic import body as body_form
from standins.anthropic import signing
from standins.exchange.faults import FaultError

KNOWN_MODELS = frozenset(get_args(get_args(ModelParam)[0]))
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_TOOL_USE_ID = re.compile(r"[a-zA-Z0-9_-]+")
_MOST_MARKS = 4
_UNMARKABLE = {"thinking", "redacted_thinking"}

_SMALL_OUTPUT = ("claude-haiku-4-5", "claude-opus-4-5", "claude-sonnet-4-5")
_NO_PREFILL = (
    "claude-fable-5",
    "claude-haiku-5",
    "claude-mythos-5",
    "claude-opus-5",
    "claude-sonnet-5",
)
_SERVER_TOOLS = {
    "web_search_20250305": True,
    "web_search_20260209": False,
    "web_search_20260318": False,
    "web_fetch_20250910": True,
    "web_fetch_20260209": False,
    "web_fetch_20260309": False,
    "web_fetch_20260318": False,
    "code_execution_20250825": True,
    "code_execution_20260120": False,
    "code_execution_20260521": False,
}
"""Versions, and whether every model runs them."""
_SERVED_RESULTS = {
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
}
_LARGEST_IMAGE = 5 * 1024 * 1024
"""Characters of base64."""
_MOST_IMAGES = 100
_FEW_IMAGES = 20
_LONGEST_SIDE = 8000
_LONGEST_SIDE_OF_MANY = 2000
_IMAGE_BEGINNINGS = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
_ALWAYS_THINKING = ("claude-fable-5", "claude-opus-5-5", "claude-mythos-5")


def check_headers(headers: Mapping[str, str], key: str) -> None:
    check_key(headers, key)
    if "application/json" not in headers.get("content-type", ""):
        raise FaultError("content-type: must be application/json")


def check_key(headers: Mapping[str, str], key: str) -> None:
    given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
    if not given:
        raise FaultError("x-api-key header is required", 401)
    if given != key:
        raise FaultError("invalid x-api-key", 401)
    if not headers.get("anthropic-version"):
        raise FaultError("anthropic-version: header is required")


def check_body(body: Any) -> None:
    """Raise the fault that the API would answer, if any."""
    body_form.check(body)
    model = body["model"]
    if model not in KNOWN_MODELS:
        raise FaultError(f"model: {model}", 404)
    _check_output(body)
    _check_tools(body.get("tools") or [], body["model"])
    _check_marks(body)
    _check_texts(body)
    _check_order(body["messages"])
    _check_final(body)
    _check_pairs(body["messages"])
    _check_images(body)
    _check_served(body)
    signing.check(body)


def _check_output(body: Mapping[str, Any]) -> None:
    most = 64_000 if body["model"].startswith(_SMALL_OUTPUT) else 128_000
    if not 1 <= body["max_tokens"] <= most:
        raise FaultError(f"max_tokens: {body['max_tokens']} is not between 1 and {most}")
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "adaptive" and body["model"].startswith(_SMALL_OUTPUT):
        raise FaultError("thinking.type: adaptive thinking is not supported on this model")
    if thinking.get("type") == "disabled" and body["model"].startswith(_ALWAYS_THINKING):
        raise FaultError("thinking.type: thinking cannot be disabled on this model")


def _check_tools(tools: Sequence[Mapping[str, Any]], model: str) -> None:
    names = [tool["name"] for tool in tools]
    for number, name in enumerate(names):
        if _TOOL_NAME.fullmatch(name) is None:
            raise FaultError(f"tools.{number}.custom.name: String should match pattern")
        if name in names[:number]:
            raise FaultError("tools: Tool names must be unique.")
        kind = tools[number].get("type") or "custom"
        if kind != "custom":
            if kind not in _SERVER_TOOLS or not _runs(kind, model):
                raise FaultError(f"tools.{number}.type: '{model}' does not support {kind}")
            continue
        if tools[number]["input_schema"].get("type") != "object":
            raise FaultError(f"tools.{number}.custom.input_schema.type: Input should be 'object'")


def _runs(kind: str, model: str) -> bool:
    """The dated versions after the first want a model of generation 4.6 or later."""
    return _SERVER_TOOLS[kind] or not model.startswith(_SMALL_OUTPUT)


def _check_served(body: Mapping[str, Any]) -> None:
    """Calls that the service answers itself, and their results."""
    messages = list(_merged(body["messages"]))
    declared = {
        tool["name"] for tool in body.get("tools") or () if tool.get("type") in _SERVER_TOOLS
    }
    for number, message in enumerate(messages):
        content = _content(message)
        calls = {b["id"]: b["name"] for b in content if b["type"] == "server_tool_use"}
        results = [b for b in content if b["type"] in _SERVED_RESULTS]
        for place, block in enumerate(results):
            if block["tool_use_id"] not in calls:
                raise FaultError(
                    f"messages.{number}: unexpected `tool_use_id` in `{block['type']}` blocks"
                )
            if block["type"] == "web_search_tool_result":
                signing.check_found(block, f"messages.{number}.content.{place}")
        if not set(calls.values()) <= declared:
            raise FaultError(f"messages.{number}: `server_tool_use` of a tool that is not in tools")
        missing = calls.keys() - {block["tool_use_id"] for block in results}
        waits = number == len(messages) - 1 or any(b["type"] == "tool_use" for b in content)
        if missing and not waits:
            raise FaultError(
                f"messages.{number}: `server_tool_use` ids were found without a corresponding "
                f"result block: {', '.join(sorted(missing))}"
            )


def _check_images(body: Mapping[str, Any]) -> None:
    """By the API's page on vision (October 2026)."""
    images = list(_images(body))
    if len(images) > _MOST_IMAGES:
        raise FaultError(f"messages: too many images: {len(images)} > {_MOST_IMAGES}")
    longest = _LONGEST_SIDE if len(images) <= _FEW_IMAGES else _LONGEST_SIDE_OF_MANY
    for place, source in images:
        if source["type"] != "base64":
            continue
        if len(source["data"]) > _LARGEST_IMAGE:
            raise FaultError(f"{place}.source.base64: image exceeds 5 MB maximum")
        try:
            data = base64.b64decode(source["data"], validate=True)
        except ValueError:
            raise FaultError(f"{place}.source.base64.data: invalid base64 data") from None
        begins = _IMAGE_BEGINNINGS[source["media_type"]]
        if not data.startswith(begins) or (begins == b"RIFF" and data[8:12] != b"WEBP"):
            raise FaultError(
                f"{place}.source.base64: the image was specified using the {source['media_type']} "
                "media type, but does not appear to be one"
            )
        if begins.startswith(b"\x89PNG"):
            sides = struct.unpack(">II", data[16:24].ljust(8, b"\0"))
            if not min(sides):
                raise FaultError(f"{place}.source.base64.data: Could not process image")
            if max(sides) > longest:
                raise FaultError(f"{place}: image dimensions exceed max allowed size: {longest}")


def _images(body: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for place, block in _blocks(body):
        inner = block.get("content") if block.get("type") == "tool_result" else [block]
        for item in inner if isinstance(inner, list) else ():
            if item.get("type") == "image":
                yield place, item["source"]


def _check_marks(body: Mapping[str, Any]) -> None:
    marks = 0
    for place, block in _blocks(body):
        if not block.get("cache_control"):
            continue
        marks += 1
        if block.get("type") in _UNMARKABLE:
            raise FaultError(f"{place}: cache_control is not permitted on this block")
        if block.get("type") == "text" and not block["text"].strip():
            raise FaultError(f"{place}: cache_control cannot be set for empty text blocks")
    if marks > _MOST_MARKS:
        raise FaultError(
            f"A maximum of {_MOST_MARKS} blocks with cache_control may be provided. Found {marks}."
        )


def _check_texts(body: Mapping[str, Any]) -> None:
    for place, block in _blocks(body):
        if block.get("type") == "text" and not block["text"].strip():
            raise FaultError(f"{place}: text content blocks must contain non-whitespace text")
        for inner in block.get("content") or () if block.get("type") == "tool_result" else ():
            if isinstance(inner, dict) and inner["type"] == "text" and not inner["text"]:
                raise FaultError(f"{place}: text content blocks must be non-empty")


def _check_order(messages: Sequence[Mapping[str, Any]]) -> None:
    if not messages:
        raise FaultError("messages: at least one message is required")
    summaries = [
        (number, place)
        for number, message in enumerate(messages)
        for place, block in enumerate(_content(message))
        if block["type"] == "compaction"
    ]
    if len(summaries) > 1:
        raise FaultError("compaction_block_ambiguous: send only the block returned last")
    if summaries and summaries != [(0, 0)]:
        raise FaultError("compaction_block_misplaced: the block is not the first")
    if messages[0]["role"] != "user" and not summaries:
        raise FaultError("messages: first message must use the user role")
    for number, message in enumerate(messages):
        last = number == len(messages) - 1
        if not message["content"] and not (last and message["role"] == "assistant"):
            raise FaultError(f"messages.{number}: all messages must have non-empty content")


def _check_final(body: Mapping[str, Any]) -> None:
    final = body["messages"][-1]
    if final["role"] != "assistant":
        return
    content = _content(final)
    # Only a turn that the server's own tools paused goes back as the last message.
    paused = any(block["type"] == "server_tool_use" for block in content)
    if body["model"].startswith(_NO_PREFILL) and not paused:
        raise FaultError("This model does not support assistant message prefill.")
    text = content[-1].get("text", "") if content else ""
    if text != text.rstrip():
        raise FaultError("messages: final assistant content cannot end with trailing whitespace")


def _check_pairs(messages: Sequence[Mapping[str, Any]]) -> None:
    seen: set[str] = set()
    open_calls: list[str] = []
    for number, message in enumerate(_merged(messages)):
        content = _content(message)
        results = [b["tool_use_id"] for b in content if b["type"] == "tool_result"]
        calls = [b["id"] for b in content if b["type"] == "tool_use"]
        if message["role"] == "user":
            if calls:
                raise FaultError(f"messages.{number}: `tool_use` blocks can only be in `assistant`")
            _check_results(number, content, results, open_calls)
        elif results:
            raise FaultError(
                f"messages.{number}: `tool_result` blocks can only be in `user` messages"
            )
        for call in calls:
            if call in seen:
                raise FaultError(f"messages.{number}: `tool_use` ids must be unique")
            if _TOOL_USE_ID.fullmatch(call) is None:
                raise FaultError(f"messages.{number}: tool_use.id: String should match pattern")
            seen.add(call)
        open_calls = calls
    if open_calls:
        raise _unanswered(len(messages) - 1, open_calls)


def _check_results(
    number: int,
    content: Sequence[Mapping[str, Any]],
    results: Sequence[str],
    open_calls: Sequence[str],
) -> None:
    for result in results:
        if result not in open_calls:
            raise FaultError(
                f"messages.{number}: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{result}. Each `tool_result` block must have a corresponding `tool_use` block in "
                "the previous message."
            )
    if len(set(results)) != len(results):
        raise FaultError(f"messages.{number}: each tool_use must have a single result")
    missing = [call for call in open_calls if call not in results]
    # A result that stands after other content is not seen.
    if missing or (open_calls and content[0]["type"] != "tool_result"):
        raise _unanswered(number - 1, missing or list(open_calls))
    kinds = [block["type"] == "tool_result" for block in content]
    if kinds != sorted(kinds, reverse=True):
        raise _unanswered(number - 1, list(open_calls))


def _unanswered(number: int, calls: Sequence[str]) -> FaultError:
    return FaultError(
        f"messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately "
        f"after: {', '.join(calls)}."
    )


def _merged(messages: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Neighbours of one role are one turn to the API."""
    current: dict[str, Any] | None = None
    for message in messages:
        if current is not None and current["role"] == message["role"]:
            current["content"] = [*_content(current), *_content(message)]
            continue
        if current is not None:
            yield current
        current = dict(message)
    if current is not None:
        yield current


def _blocks(body: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, tool in enumerate(body.get("tools") or ()):
        yield f"tools.{number}", tool
    system = body.get("system")
    if isinstance(system, list):
        for number, block in enumerate(system):
            yield f"system.{number}", block
    for number, message in enumerate(body["messages"]):
        for place, block in enumerate(_content(message)):
            yield f"messages.{number}.content.{place}", block


def _content(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
