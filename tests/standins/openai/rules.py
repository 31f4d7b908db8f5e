"""What the API refuses: wrong fields, order, pairing, names, sizes.

Sources: the SDK's parameter types and docstrings, and the API's own complaints. Pure: from a
request's headers and body to a fault.
"""

import base64
import binascii
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, get_args

import pydantic
from openai.types.chat import completion_create_params as params
from openai.types.shared.chat_model import ChatModel

from standins.exchange import fields
from standins.openai.faults import OpenAIFaultError
from standins.openai.quirks import Quirk

KNOWN_MODELS = frozenset(get_args(ChatModel))
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_LONGEST_ID = 40
_DATA_URL = re.compile(r"data:image/(png|jpeg|gif|webp);base64,(.+)", re.DOTALL)
_OLDER = ("gpt-4", "gpt-3.5", "chatgpt")
"""Those that take ``max_tokens`` still."""

SMALL_OUTPUT_TOKENS = 4096
SMALL_WINDOW_TOKENS = 16_384


def check_headers(headers: Mapping[str, str], key: str) -> None:
    given = headers.get("authorization", "")
    if not given.startswith("Bearer ") or given == "Bearer ":
        raise OpenAIFaultError("You didn't provide an API key.", 401)
    if given != f"Bearer {key}":
        said = "Incorrect API key provided: test****. You can find your API key at your account."
        raise OpenAIFaultError(said, 401, code="invalid_api_key")


def complain(error: fields.Complaint | None, at: str = "") -> None:
    """Raise the fault for a body that an SDK's types do not fit; ``at``: where they begin."""
    if error is None:
        return
    steps = (f"[{s}]" if isinstance(s, int) else f".{s}" for s in error.steps)
    place = (at + "".join(steps)).lstrip(".")
    if error.kind == "extra_forbidden":
        said = f"Unknown parameter: '{place}'."
        raise OpenAIFaultError(said, param=place, code="unknown_parameter")
    if error.kind == "missing":
        raise missing(place)
    raise OpenAIFaultError(f"Invalid '{place}': {error.message}", param=place, code="invalid_type")


def missing(place: str) -> OpenAIFaultError:
    said = f"Missing required parameter: '{place}'."
    return OpenAIFaultError(said, param=place, code="missing_required_parameter")


def check_names(names: Sequence[str], place: str) -> None:
    """Of tools; ``place`` has braces for a name's number."""
    for number, name in enumerate(names):
        check_name(name, place.format(number))
    if len(set(names)) != len(names):
        raise OpenAIFaultError("Invalid 'tools': names must be unique.", param="tools")


def check_name(name: str, place: str) -> None:
    if _TOOL_NAME.fullmatch(name) is None:
        said = f"Invalid '{place}': string does not match pattern."
        raise OpenAIFaultError(said, param=place, code="invalid_value")


def check_image(url: str, kind: str, *, taken: bool, place: str) -> None:
    """``taken``: whether the service takes any."""
    if not taken:
        said = f"Invalid content type: {kind} is not supported by this model"
        raise OpenAIFaultError(said, param=place)
    found = _DATA_URL.fullmatch(url)
    try:
        base64.b64decode(found[2] if found else "?", validate=True)
    except binascii.Error:
        raise OpenAIFaultError("Invalid image.", code="invalid_image_url") from None


def check_body(body: Any, quirks: Collection[Quirk] = ()) -> None:
    """Raise the fault that the API would answer, if any."""
    if not isinstance(body, dict):
        raise OpenAIFaultError("We could not parse the JSON body of your request.")
    _check_known(body, quirks)
    _check_fields(body, quirks)
    if body["model"] not in KNOWN_MODELS and Quirk.ANY_MODEL not in quirks:
        said = f"The model `{body['model']}` does not exist or you do not have access to it."
        raise OpenAIFaultError(said, 404, code="model_not_found")
    _check_limits(body, quirks)
    if "stream_options" in body and not body.get("stream"):
        said = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise OpenAIFaultError(said, param="stream_options")
    _check_tools(body)
    _check_messages(body["messages"], quirks)


def _check_known(body: Mapping[str, Any], quirks: Collection[Quirk]) -> None:
    """Fields that only some services do not have."""
    unknown = {
        "max_completion_tokens": Quirk.ONLY_MAX_TOKENS,
        "stream_options": Quirk.NO_STREAM_OPTIONS,
    }
    for name, quirk in unknown.items():
        if name in body and quirk in quirks:
            raise OpenAIFaultError(f"Extra inputs are not permitted: '{name}'", 400)


def _check_fields(body: Mapping[str, Any], quirks: Collection[Quirk]) -> None:
    plain = _without_reasoning(body) if Quirk.KEEPS_REASONING in quirks else body
    complain(fields.complaint(plain, _form(streaming=body.get("stream") is True)))


@cache
def _form(*, streaming: bool) -> pydantic.TypeAdapter[Any]:
    return fields.form(
        params.CompletionCreateParamsStreaming
        if streaming
        else params.CompletionCreateParamsNonStreaming
    )


def _without_reasoning(body: Mapping[str, Any]) -> dict[str, Any]:
    messages = [
        {key: value for key, value in message.items() if key != "reasoning_content"}
        for message in body.get("messages") or ()
    ]
    return {**body, "messages": messages}


def _check_limits(body: Mapping[str, Any], quirks: Collection[Quirk]) -> None:
    newer = not body["model"].startswith(_OLDER) and Quirk.ANY_MODEL not in quirks
    if "max_tokens" in body and newer:
        raise OpenAIFaultError(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            param="max_tokens",
            code="unsupported_parameter",
        )
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise OpenAIFaultError("Setting 'max_tokens' and 'max_completion_tokens' at the same time")
    name = "max_tokens" if "max_tokens" in body else "max_completion_tokens"
    wanted = body.get(name)
    if wanted is None:
        return
    if wanted < 1:
        raise OpenAIFaultError(f"Invalid '{name}': integer below minimum value.", param=name)
    if Quirk.SMALL_OUTPUT in quirks and wanted > SMALL_OUTPUT_TOKENS:
        raise OpenAIFaultError(
            f"{name} is too large: {wanted}. This model supports at most {SMALL_OUTPUT_TOKENS} "
            f"completion tokens, whereas you provided {wanted}.",
            param=name,
            code="invalid_value",
        )
    prompt = len(str(body["messages"])) // 4
    if Quirk.SMALL_WINDOW in quirks and prompt + wanted > SMALL_WINDOW_TOKENS:
        # As vLLM, which stops counting where the two are too long.
        counted = min(prompt, max(0, SMALL_WINDOW_TOKENS - wanted) + 1)
        raise OpenAIFaultError(
            f"This model's maximum context length is {SMALL_WINDOW_TOKENS} tokens. However, you "
            f"requested {wanted} output tokens and your prompt contains at least {counted} input "
            f"tokens, for a total of at least {wanted + counted} tokens."
        )


def _check_tools(body: Mapping[str, Any]) -> None:
    if "tools" not in body:
        return
    if not body["tools"]:
        said = "Invalid 'tools': empty array. Expected an array with minimum length 1."
        raise OpenAIFaultError(said, param="tools", code="empty_array")
    functions = [tool["function"] for tool in body["tools"] if tool["type"] == "function"]
    check_names([function["name"] for function in functions], "tools[{}].function.name")
    for function in functions:
        if function.get("parameters", {}).get("type", "object") != "object":
            said = f"Invalid schema for function '{function['name']}': not an object."
            raise OpenAIFaultError(said)


def _check_messages(messages: Sequence[Mapping[str, Any]], quirks: Collection[Quirk]) -> None:
    if not messages:
        said = "Invalid 'messages': empty array. Expected an array with minimum length 1."
        raise OpenAIFaultError(said, param="messages", code="empty_array")
    open_calls: list[str] = []
    for number, message in enumerate(messages):
        if message["role"] == "tool":
            _take_result(number, message, open_calls, messages)
            continue
        if open_calls:
            raise _unanswered(number, open_calls)
        if message["role"] == "assistant":
            open_calls = _calls(number, message, quirks)
        _check_content(number, message, quirks)
    if open_calls:
        raise _unanswered(len(messages), open_calls)


def _take_result(
    number: int,
    message: Mapping[str, Any],
    open_calls: list[str],
    messages: Sequence[Mapping[str, Any]],
) -> None:
    place = f"messages.[{number}].role"
    before = messages[number - 1]["role"] if number else ""
    if before not in {"tool", "assistant"} or (
        before == "assistant" and not messages[number - 1].get("tool_calls")
    ):
        raise OpenAIFaultError(
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding "
            "message with 'tool_calls'.",
            param=place,
        )
    if message["tool_call_id"] not in open_calls:
        raise OpenAIFaultError(
            f"Invalid parameter: 'tool_call_id' of '{message['tool_call_id']}' not found in "
            "'tool_calls' of previous message.",
            param=place,
        )
    open_calls.remove(message["tool_call_id"])


def _calls(number: int, message: Mapping[str, Any], quirks: Collection[Quirk]) -> list[str]:
    if "tool_calls" not in message:
        if message.get("content") is None:
            place = f"messages.[{number}].content"
            raise OpenAIFaultError(f"Invalid value for '{place}': expected a string, got null.")
        return []
    if not message["tool_calls"]:
        place = f"messages.[{number}].tool_calls"
        raise OpenAIFaultError(f"Invalid '{place}': empty array.", code="empty_array")
    if Quirk.KEEPS_REASONING in quirks and not message.get("reasoning_content"):
        raise OpenAIFaultError(f"Missing `reasoning_content` in messages.{number}.")
    calls = [call["id"] for call in message["tool_calls"]]
    if len(set(calls)) != len(calls):
        raise OpenAIFaultError(f"Duplicate tool call ids in messages.[{number}].")
    for call in calls:
        if not 0 < len(call) <= _LONGEST_ID:
            place = f"messages[{number}].tool_calls[0].id"
            said = f"Invalid '{place}': string of a wrong length."
            raise OpenAIFaultError(said, code="string_above_max_length")
    return calls


def _unanswered(number: int, calls: Sequence[str]) -> OpenAIFaultError:
    return OpenAIFaultError(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to "
        "each 'tool_call_id'. The following tool_call_ids did not have response messages: "
        + ", ".join(calls),
        param=f"messages.[{number}].role",
    )


def _check_content(number: int, message: Mapping[str, Any], quirks: Collection[Quirk]) -> None:
    content = message.get("content")
    if not isinstance(content, list):
        return
    if not content:
        raise OpenAIFaultError(f"Invalid 'messages[{number}].content': empty array.")
    for part in content:
        if part["type"] == "image_url":
            taken = Quirk.NO_IMAGES not in quirks
            place = f"messages.[{number}].content"
            check_image(part["image_url"]["url"], "image_url", taken=taken, place=place)
