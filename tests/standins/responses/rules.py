"""What the API refuses: wrong fields, order, pairing, names, sizes.

Sources: the SDK's parameter types and docstrings (openai 3.54.0), and the API's own complaints, as
its users report them. Pure: from a request's body to a fault.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, get_args

import pydantic
import typing_extensions as te
from openai.types.responses import response_create_params as params
from openai.types.responses.response_input_item_param import ResponseInputItemParam
from openai.types.shared.chat_model import ChatModel
from openai.types.shared.responses_model import ResponsesModel

from standins.exchange import fields
from standins.openai.faults import OpenAIFaultError
from standins.openai.rules import check_image, check_name, check_names, complain, missing
from standins.responses import sealing
from standins.responses.quirks import ResponsesQuirk

KNOWN_MODELS = frozenset(
    name
    for member in (ChatModel, *get_args(ResponsesModel))
    if te.get_origin(member) is te.Literal
    for name in get_args(member)
)
_NEVER_REASON = ("gpt-4", "gpt-3.5", "chatgpt")
_LONGEST_ID = 64
_LEAST_OUTPUT = 16

SMALL_OUTPUT_TOKENS = 4096

Json = Mapping[str, Any]


def check_body(body: Any, quirks: Collection[ResponsesQuirk] = ()) -> None:
    """Raise the fault that the API would answer, if any."""
    if not isinstance(body, dict):
        raise OpenAIFaultError("We could not parse the JSON body of your request.")
    _check_known(body, quirks)
    form = _form(streaming=body.get("stream") is True)
    complain(fields.complaint({k: v for k, v in body.items() if k != "input"}, form))
    if "model" not in body:
        raise missing("model")
    if body["model"] not in KNOWN_MODELS and ResponsesQuirk.ANY_MODEL not in quirks:
        said = f"The requested model '{body['model']}' does not exist."
        raise OpenAIFaultError(said, 404, param="model", code="model_not_found")
    _check_thinking(body)
    _check_limit(body, quirks)
    for name in ("previous_response_id", "conversation"):
        if body.get(name):
            said = f"Previous response with id '{body[name]}' not found."
            raise OpenAIFaultError(said, param=name, code="previous_response_not_found")
    _check_tools(body.get("tools") or ())
    _check_input(body, quirks)


def _check_known(body: Json, quirks: Collection[ResponsesQuirk]) -> None:
    """Fields that only some services do not have."""
    unknown = {
        "include": ResponsesQuirk.NO_INCLUDE,
        "reasoning": ResponsesQuirk.NO_REASONING,
        "store": ResponsesQuirk.NO_STORE,
        "max_output_tokens": ResponsesQuirk.NO_LIMIT,
        "prompt_cache_key": ResponsesQuirk.NO_CACHE_KEY,
    }
    for name, quirk in unknown.items():
        if name in body and quirk in quirks:
            raise OpenAIFaultError(f"Unsupported parameter: {name}", param=name)


@cache
def _form(*, streaming: bool) -> pydantic.TypeAdapter[Any]:
    source = (
        params.ResponseCreateParamsStreaming
        if streaming
        else params.ResponseCreateParamsNonStreaming
    )
    return fields.form(source, {"input"})


@cache
def _item_forms() -> Mapping[str, pydantic.TypeAdapter[Any]]:
    """By type. Three forms are called message: what the model said, with the id that it had, what
    anybody said, and that in short."""
    forms: dict[str, Any] = {}
    for member in get_args(ResponseInputItemParam):
        hint = te.get_type_hints(member)["type"]
        literal = next(m for m in (hint, *get_args(hint)) if te.get_origin(m) is te.Literal)
        names = {"ResponseOutputMessageParam": "output", "EasyInputMessageParam": "easy"}
        forms[names.get(member.__name__) or get_args(literal)[0]] = fields.form(member)
    return forms


def _check_thinking(body: Json) -> None:
    if not body["model"].startswith(_NEVER_REASON):
        return
    if "reasoning.encrypted_content" in (body.get("include") or ()):
        raise OpenAIFaultError(
            "Encrypted content is not supported with this model.", param="include"
        )
    if body.get("reasoning"):
        said = "Unsupported parameter: 'reasoning.summary' is not supported with this model."
        raise OpenAIFaultError(said, param="reasoning.summary", code="unsupported_parameter")


def _check_limit(body: Json, quirks: Collection[ResponsesQuirk]) -> None:
    wanted = body.get("max_output_tokens")
    if wanted is None:
        return
    name = "max_output_tokens"
    if wanted < _LEAST_OUTPUT:
        said = f"Invalid '{name}': integer below minimum value. Expected a value >= 16."
        raise OpenAIFaultError(said, param=name, code="integer_below_min_value")
    if ResponsesQuirk.SMALL_OUTPUT in quirks and wanted > SMALL_OUTPUT_TOKENS:
        said = f"{name} is too large: {wanted}. At most {SMALL_OUTPUT_TOKENS} are supported."
        raise OpenAIFaultError(said, param=name, code="invalid_value")


def _check_tools(tools: Sequence[Json]) -> None:
    names = [tool["name"] for tool in tools if tool["type"] == "function"]
    check_names(names, "tools[{}].name")
    for tool in tools:
        if tool["type"] == "function" and tool.get("strict") is not False:
            _check_strict(tool)


def _check_strict(tool: Json) -> None:
    schema = tool.get("parameters") or {}
    if set(schema.get("required", ())) != set(schema.get("properties", {})):
        raise OpenAIFaultError(
            f"Invalid schema for function '{tool['name']}': 'required' is required to be supplied "
            "and to be an array including every key in properties.",
            code="invalid_function_parameters",
        )


def _check_input(body: Json, quirks: Collection[ResponsesQuirk]) -> None:
    if "input" not in body:
        raise missing("input")
    items = body["input"]
    if isinstance(items, str):
        return
    if not isinstance(items, list) or not items:
        raise OpenAIFaultError("Invalid 'input': empty array.", param="input", code="empty_array")
    for number, item in enumerate(items):
        _check_form(number, item)
    _check_calls(items)
    _check_thoughts(body, items, quirks)
    for number, item in enumerate(items):
        for key in ("content", "output"):
            parts = item.get(key)
            _check_images(number, parts if isinstance(parts, list) else (), quirks)


def _check_form(number: int, item: Any) -> None:
    place = f"input[{number}]"
    if not isinstance(item, dict):
        raise OpenAIFaultError(f"Invalid '{place}': expected an object.", code="invalid_type")
    kind = item.get("type", "message")
    if kind == "message":
        short = isinstance(item.get("content"), str)
        kind = "output" if "id" in item else ("easy" if short else "message")
    form = _item_forms().get(kind)
    if form is None:
        said = f"Invalid value: '{kind}'."
        raise OpenAIFaultError(said, param=f"{place}.type", code="invalid_value")
    complain(fields.complaint(item, form), place)
    if kind == "item_reference":
        raise _not_stored(item["id"])


def _check_calls(items: Sequence[Json]) -> None:
    waiting: list[str] = []
    seen: set[str] = set()
    for number, item in enumerate(items):
        match item.get("type"):
            case "function_call":
                _check_call(number, item, seen)
                waiting.append(item["call_id"])
            case "function_call_output":
                if item.get("call_id") not in waiting:
                    raise OpenAIFaultError(
                        "No tool call found for function call output with call_id "
                        f"{item.get('call_id')}.",
                        param="input",
                    )
                waiting.remove(item["call_id"])
            case "message" | None if waiting and item["role"] == "user":
                raise _unanswered(waiting[0])
    if waiting:
        raise _unanswered(waiting[0])


def _check_call(number: int, item: Json, seen: set[str]) -> None:
    for key in ("name", "call_id"):
        if not 0 < len(item[key]) <= _LONGEST_ID:
            place = f"input[{number}].{key}"
            said = f"Invalid '{place}': string too long. Expected a string with maximum length 64."
            raise OpenAIFaultError(said, param=place, code="string_above_max_length")
    check_name(item["name"], f"input[{number}].name")
    if item["call_id"] in seen:
        raise OpenAIFaultError(f"Duplicate function call with call_id {item['call_id']}.")
    seen.add(item["call_id"])


def _unanswered(call: str) -> OpenAIFaultError:
    return OpenAIFaultError(f"No tool output found for function call {call}.", param="input")


def _check_thoughts(body: Json, items: Sequence[Json], quirks: Collection[ResponsesQuirk]) -> None:
    thought: Json | None = None
    seen: set[str] = set()
    for number, item in enumerate(items):
        identifier = item.get("id")
        if identifier in seen:
            said = f"Duplicate item found with id {identifier}. Remove duplicate items."
            raise OpenAIFaultError(said, param="input")
        seen |= {identifier} if identifier else set()
        if thought is not None and not _follows(item):
            raise _alone(thought)
        if item.get("type") == "reasoning":
            _check_thought(number, item, body, quirks)
            thought = item
            continue
        if identifier and thought is None and item.get("type") != "web_search_call":
            raise OpenAIFaultError(
                f"Item '{identifier}' of type '{item.get('type')}' was provided without its "
                "required 'reasoning' item.",
                param="input",
            )
        before = items[number - 1].get("type") if number else None
        thoughtless = item.get("type") == "function_call" and before != "function_call"
        if thoughtless and thought is None and ResponsesQuirk.PLAIN_REASONING in quirks:
            raise OpenAIFaultError("The `reasoning_text` must be passed back to the API.")
        thought = None
    if thought is not None:
        raise _alone(thought)


def _follows(item: Json) -> bool:
    """Whether an item may be what came of a thought."""
    kind = item.get("type", "message")
    if kind == "message":
        return bool(item["role"] == "assistant")
    return kind == "reasoning" or bool(kind.endswith("_call"))


def _alone(thought: Json) -> OpenAIFaultError:
    return OpenAIFaultError(
        f"Item '{thought['id']}' of type 'reasoning' was provided without its required following "
        "item.",
        param="input",
    )


def _check_thought(number: int, item: Json, body: Json, quirks: Collection[ResponsesQuirk]) -> None:
    if ResponsesQuirk.PLAIN_REASONING in quirks:
        if not item.get("content"):
            raise OpenAIFaultError("The `reasoning_text` must be passed back to the API.")
        return
    if item.get("content"):
        place = f"input[{number}].content"
        said = f"Invalid '{place}': array too long. Expected an array with maximum length 0."
        raise OpenAIFaultError(said, param=place, code="array_above_max_length")
    if not item.get("encrypted_content"):
        raise _not_stored(item["id"])
    if ResponsesQuirk.FORGOTTEN_KEY in quirks or not sealing.verifies(body, item):
        raise OpenAIFaultError(
            f"The encrypted content for item {item['id']} could not be verified. Reason: Encrypted "
            "content could not be decrypted or parsed.",
            code="invalid_encrypted_content",
        )


def _not_stored(identifier: str) -> OpenAIFaultError:
    return OpenAIFaultError(
        f"Item with id '{identifier}' not found. Items are not persisted when `store` is set to "
        "false. Try again with `store` set to true, or remove this item from your input.",
        404,
        param="input",
    )


def _check_images(number: int, parts: Sequence[Json], quirks: Collection[ResponsesQuirk]) -> None:
    for part in parts:
        if part["type"] == "input_image":
            taken = ResponsesQuirk.NO_IMAGES not in quirks
            url = part.get("image_url") or ""
            check_image(url, "input_image", taken=taken, place=f"input[{number}]")
