"""The stand-in is strict: it refuses what the real API refuses, in the API's own form."""

import copy
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pydantic
import pytest
from openai.types.responses import ResponseStreamEvent

from standins.exchange.replies import Answer, Call, Refuse, Search, Thought, answer
from standins.responses.quirks import ResponsesQuirk
from standins.responses.server import StandInResponses

TOOL = {
    "type": "function",
    "name": "bash",
    "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}},
    "strict": False,
}
CALL = {"type": "function_call", "call_id": "c1", "name": "bash", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "ok"}
SAID = {"type": "message", "role": "assistant", "content": "I look."}


def good(*items: Any, **more: Any) -> dict[str, Any]:
    first = {"type": "message", "role": "user", "content": "Hi."}
    return {
        "model": "gpt-5.4",
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 100,
        "instructions": "Be short.",
        "tools": [TOOL],
        "input": [first, *(items or (SAID, CALL, RESULT))],
        **more,
    }


def post(api: StandInResponses, body: object, path: str = "/responses") -> Any:
    headers = {"authorization": f"Bearer {api.key}", "content-type": "application/json"}
    with httpx2.Client(trust_env=False, timeout=60) as client:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return client.post(api.url + path, content=content, headers=headers)


def thought(api: StandInResponses) -> dict[str, Any]:
    """One that the service really had."""
    api.queue(answer(Thought("Hm."), "So."))
    item: dict[str, Any] = post(api, good()).json()["output"][0]
    assert item["type"] == "reasoning"
    return item


Change = Callable[[dict[str, Any]], object]

REFUSED: dict[str, tuple[Change, str]] = {
    "an unknown field": (lambda b: b.update(temprature=1), "Unknown parameter: 'temprature'"),
    "chat's messages": (lambda b: b.update(messages=[]), "Unknown parameter: 'messages'"),
    "an unknown field of an item": (
        lambda b: b["input"][2].update(reasoning="Hm."),
        "Unknown parameter: 'input[2].reasoning'",
    ),
    "an item of no known type": (lambda b: b["input"].append({"type": "x"}), "Invalid value: 'x'"),
    "an item that is no object": (lambda b: b["input"].append("x"), "expected an object"),
    "an unknown role": (lambda b: b["input"][0].update(role="bot"), "input[0].role"),
    "no model": (lambda b: b.pop("model"), "Missing required parameter: 'model'"),
    "no input": (lambda b: b.pop("input"), "Missing required parameter: 'input'"),
    "an empty input": (lambda b: b.update(input=[]), "empty array"),
    "a number as text": (lambda b: b.update(max_output_tokens="9"), "max_output_tokens"),
    "hardly any tokens": (lambda b: b.update(max_output_tokens=15), "Expected a value >= 16"),
    "chat's limit": (lambda b: b.update(max_tokens=99), "Unknown parameter: 'max_tokens'"),
    "chat's form of a tool": (
        lambda b: b.update(tools=[{"type": "function", "function": {"name": "bash"}}]),
        "tools[0]",
    ),
    "a tool's name with a dot": (
        lambda b: b["tools"].append({**TOOL, "name": "a.b"}),
        "does not match pattern",
    ),
    "two tools of one name": (lambda b: b["tools"].append(TOOL), "unique"),
    "a strict tool with optional arguments": (
        lambda b: b["tools"][0].update(strict=True),
        "'required' is required",
    ),
    "a call without a result": (lambda b: b["input"].pop(), "No tool output found"),
    "a call answered after a word": (
        lambda b: b["input"].insert(3, {"role": "user", "content": "?"}),
        "No tool output found for function call c1",
    ),
    "a result without a call": (
        lambda b: b["input"].append({**RESULT, "call_id": "c9"}),
        "No tool call found for function call output with call_id c9",
    ),
    "a result twice": (lambda b: b["input"].append(RESULT), "No tool call found"),
    "a result before its call": (lambda b: b["input"].insert(1, RESULT), "No tool call found"),
    "two calls with one id": (
        lambda b: b["input"].extend([CALL, RESULT]),
        "Duplicate function call",
    ),
    "a call with a long id": (lambda b: b["input"][2].update(call_id="c" * 65), "string too long"),
    "a call of a name with a dot": (
        lambda b: b["input"][2].update(name="a.b"),
        "does not match pattern",
    ),
    "a call whose arguments are an object": (
        lambda b: b["input"][2].update(arguments={}),
        "input[2].arguments",
    ),
    "a call with its id and without its thought": (
        lambda b: b["input"][2].update(id="fc_1"),
        "without its required 'reasoning' item",
    ),
    "an image that is none": (
        lambda b: b["input"][3].update(output=[{"type": "input_image", "image_url": "file:///x"}]),
        "Invalid image",
    ),
    "a conversation that the service is to remember": (
        lambda b: b.update(previous_response_id="resp_1"),
        "not found",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_refuses(responses_api: StandInResponses, what: str) -> None:
    change, complaint = REFUSED[what]
    body = copy.deepcopy(good())
    change(body)
    response = post(responses_api, body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert complaint in error["message"]
    assert responses_api.requests[0].fault == error["message"]


def test_it_takes_what_is_right(responses_api: StandInResponses) -> None:
    responses_api.queue(answer("Fine.", Call("bash", {"command": "ls"})))
    response = post(responses_api, good())
    assert response.status_code == 200
    said, call = response.json()["output"]
    assert said["content"][0]["text"] == "Fine."
    assert (call["type"], call["status"]) == ("function_call", "completed")
    assert response.json()["status"] == "completed"


def test_it_takes_back_a_thought_as_it_was(responses_api: StandInResponses) -> None:
    item = thought(responses_api)
    responses_api.queue(answer("Fine."))
    assert post(responses_api, good(item, SAID)).status_code == 200


BAD_THOUGHTS: dict[str, tuple[Callable[[dict[str, Any]], list[Any]], str]] = {
    "alone at the end": (lambda i: [i], "without its required following item"),
    "before what a person says": (
        lambda i: [i, {"role": "user", "content": "?"}],
        "without its required following item",
    ),
    "before a result": (lambda i: [CALL, i, RESULT], "without its required following item"),
    "twice": (lambda i: [i, SAID, i, SAID], "Duplicate item found"),
    "under another id": (lambda i: [{**i, "id": "rs_9"}, SAID], "could not be verified"),
    "with other words": (
        lambda i: [{**i, "summary": [{"type": "summary_text", "text": "Ha."}]}, SAID],
        "could not be verified",
    ),
    "only by its id": (
        lambda i: [{k: v for k, v in i.items() if k != "encrypted_content"}, SAID],
        "Items are not persisted when `store` is set to false",
    ),
    "as a reference": (
        lambda i: [{"type": "item_reference", "id": i["id"]}, SAID],
        "Items are not persisted when `store` is set to false",
    ),
    "with its text": (
        lambda i: [{**i, "content": [{"type": "reasoning_text", "text": "Hm."}]}, SAID],
        "array too long",
    ),
    "without a summary": (
        lambda i: [{k: v for k, v in i.items() if k != "summary"}, SAID],
        "Missing required parameter: 'input[1].summary'",
    ),
}


@pytest.mark.parametrize("what", BAD_THOUGHTS)
def test_it_refuses_a_thought(responses_api: StandInResponses, what: str) -> None:
    items, complaint = BAD_THOUGHTS[what]
    response = post(responses_api, good(*items(thought(responses_api))))
    assert response.status_code in {400, 404}
    assert complaint in response.json()["error"]["message"]


def test_a_model_that_does_not_reason_refuses_to_be_asked_for_it(
    responses_api: StandInResponses,
) -> None:
    body = good(model="gpt-4o")
    assert "not supported with this model" in post(responses_api, body).json()["error"]["message"]
    del body["include"]
    body["reasoning"] = {"summary": "auto"}
    assert post(responses_api, body).json()["error"]["param"] == "reasoning.summary"


def test_an_unknown_model_is_not_found(responses_api: StandInResponses) -> None:
    response = post(responses_api, good(model="gpt-99"))
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


def test_nothing_queued_is_an_error_and_not_a_wait(responses_api: StandInResponses) -> None:
    assert "nothing queued" in post(responses_api, good()).json()["error"]["message"]


def test_another_path_is_not_there(responses_api: StandInResponses) -> None:
    assert post(responses_api, good(), path="/chat/completions").status_code == 404


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 429, 500, 502, 503, 504])
def test_it_fails_with_each_status(responses_api: StandInResponses, status: int) -> None:
    responses_api.queue(Refuse(status, {"retry-after": "3"}, code="some_code"))
    response = post(responses_api, good())
    assert response.status_code == status
    assert response.json()["error"]["code"] == "some_code"


ANSWERS = [
    answer(Thought("So."), "Hi.", Call("bash", {"command": "ls"}), Search("landlock")),
    answer("Hm", stop="max_output_tokens"),
    answer(stop="failed", stop_details={"code": "server_error"}),
    answer(stop_details={"refusal": "No."}),
]


@pytest.mark.parametrize("said", ANSWERS)
def test_each_event_is_one_by_the_sdks_types(responses_api: StandInResponses, said: Answer) -> None:
    responses_api.queue(said)
    text = post(responses_api, good(stream=True)).text
    form: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseStreamEvent)
    data = [block.partition("data: ")[2] for block in text.split("\n\n") if block]
    events = [form.validate_json(line) for line in data]
    assert events[0].type == "response.created"
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_a_gateway_that_knows_fewer_fields_refuses_the_others() -> None:
    with StandInResponses(ResponsesQuirk.NO_STORE) as api:
        assert "store" in post(api, good()).json()["error"]["message"]
