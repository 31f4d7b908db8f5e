"""The stand-in is strict: it refuses what the real API refuses, in the API's own form."""

import copy
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from standins.exchange.replies import Break, Call, How, Refuse, Thought, answer
from standins.openai.quirks import Quirk
from standins.openai.server import StandInOpenAI

TOOL = {"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}}


def use(identifier: str = "c1", **more: Any) -> dict[str, Any]:
    function = {"name": "bash", "arguments": "{}"}
    return {"id": identifier, "type": "function", "function": function, **more}


def done(identifier: str = "c1", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identifier, "content": "ok", **more}


def good() -> dict[str, Any]:
    return {
        "model": "gpt-4o",
        "max_tokens": 100,
        "tools": [TOOL],
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "Hi."},
            {"role": "assistant", "content": None, "tool_calls": [use()]},
            done(),
        ],
    }


def post(api: StandInOpenAI, body: object, path: str = "/chat/completions", **headers: str) -> Any:
    sent = {"authorization": f"Bearer {api.key}"} | headers
    with httpx2.Client(trust_env=False, timeout=60) as client:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json"} | {k: v for k, v in sent.items() if v}
        return client.post(api.url + path, content=content, headers=sent)


Change = Callable[[dict[str, Any]], object]

REFUSED: dict[str, tuple[Change, str]] = {
    "an unknown field": (lambda b: b.update(temprature=1), "Unknown parameter: 'temprature'"),
    "an unknown field of a message": (
        lambda b: b["messages"][2].update(reasoning_content="Hm."),
        "reasoning_content'",
    ),
    "an unknown role": (lambda b: b["messages"][1].update(role="bot"), "messages[1]"),
    "no model": (lambda b: b.pop("model"), "Missing required parameter: 'model'"),
    "a number as text": (lambda b: b.update(max_tokens="9"), "max_tokens"),
    "no tokens": (lambda b: b.update(max_tokens=0), "below minimum"),
    "both limits": (lambda b: b.update(max_completion_tokens=9), "at the same time"),
    "the older limit of a newer model": (
        lambda b: b.update(model="gpt-5.4"),
        "Use 'max_completion_tokens' instead",
    ),
    "stream options without a stream": (
        lambda b: b.update(stream_options={"include_usage": True}),
        "only allowed when 'stream' is enabled",
    ),
    "no messages": (lambda b: b.update(messages=[]), "empty array"),
    "no tools": (lambda b: b.update(tools=[]), "empty array"),
    "a tool without a type": (lambda b: b["tools"].append({"function": {"name": "b"}}), "tools"),
    "a tool's name with a dot": (
        lambda b: b["tools"].append({"type": "function", "function": {"name": "a.b"}}),
        "does not match pattern",
    ),
    "two tools of one name": (lambda b: b["tools"].append(TOOL), "unique"),
    "a call without a result": (lambda b: b["messages"].pop(), "must be followed by tool messages"),
    "a call answered after a word": (
        lambda b: b["messages"].insert(3, {"role": "user", "content": "?"}),
        "must be followed by tool messages",
    ),
    "one of two calls answered": (
        lambda b: b["messages"][2]["tool_calls"].append(use("c2")),
        "did not have response messages: c2",
    ),
    "a result without a call": (
        lambda b: b["messages"].append(done("c9")),
        "'tool_call_id' of 'c9' not found",
    ),
    "a result twice": (lambda b: b["messages"].append(done()), "not found in 'tool_calls'"),
    "a result after words": (
        lambda b: b["messages"].insert(2, done()),
        "must be a response to a preceeding message with 'tool_calls'",
    ),
    "two calls with one id": (
        lambda b: b["messages"][2]["tool_calls"].append(use()),
        "Duplicate tool call ids",
    ),
    "a call with a long id": (
        lambda b: b["messages"][2].update(tool_calls=[use("c" * 41)]),
        "string of a wrong length",
    ),
    "a call whose arguments are an object": (
        lambda b: b["messages"][2]["tool_calls"][0]["function"].update(arguments={}),
        "arguments",
    ),
    "an answer of nothing": (
        lambda b: b["messages"].insert(2, {"role": "assistant", "content": None}),
        "expected a string, got null",
    ),
    "an empty list of calls": (
        lambda b: b["messages"].append({"role": "assistant", "content": "x", "tool_calls": []}),
        "empty array",
    ),
    "an image in a result": (
        lambda b: b["messages"][3].update(
            content=[{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
        ),
        "messages[3]",
    ),
    "an image that is none": (
        lambda b: b["messages"][1].update(
            content=[{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]
        ),
        "Invalid image",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_refuses(openai_api: StandInOpenAI, what: str) -> None:
    change, complaint = REFUSED[what]
    body = copy.deepcopy(good())
    change(body)
    response = post(openai_api, body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert complaint in error["message"]
    assert openai_api.requests[0].fault == error["message"]


def test_it_takes_what_is_right(openai_api: StandInOpenAI) -> None:
    openai_api.queue(answer("Fine.", Call("bash", {"command": "ls"})))
    response = post(openai_api, good())
    assert response.status_code == 200
    (choice,) = response.json()["choices"]
    assert choice["message"]["content"] == "Fine."
    assert choice["finish_reason"] == "tool_calls"
    assert response.headers["x-request-id"] == "req_0001"


def test_an_unknown_model_is_not_found(openai_api: StandInOpenAI) -> None:
    response = post(openai_api, good() | {"model": "gpt-99"})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("key", ["", "Bearer", "Bearer wrong", "test-key-1234"])
def test_a_missing_or_wrong_key_is_401(openai_api: StandInOpenAI, key: str) -> None:
    assert post(openai_api, good(), authorization=key).status_code == 401


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"a"'])
def test_a_body_that_is_no_object_is_refused(openai_api: StandInOpenAI, body: bytes) -> None:
    assert post(openai_api, body).status_code == 400


def test_nothing_queued_is_an_error_and_not_a_wait(openai_api: StandInOpenAI) -> None:
    response = post(openai_api, good())
    assert (response.status_code, openai_api.left) == (400, ())
    assert "nothing queued" in response.json()["error"]["message"]


def test_another_path_is_not_there(openai_api: StandInOpenAI) -> None:
    assert post(openai_api, good(), path="/completions").status_code == 404


def test_a_stream_has_the_documented_order(openai_api: StandInOpenAI) -> None:
    openai_api.queue(answer(Thought("So."), "Hi.", Call("bash", {"command": "ls"})))
    body = good() | {"stream": True, "stream_options": {"include_usage": True}}
    data = [
        line.removeprefix("data: ") for line in post(openai_api, body).text.split("\n\n") if line
    ]
    assert data[-1] == "[DONE]"
    chunks = [json.loads(line) for line in data[:-1]]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] > 0
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)


def test_a_stream_counts_only_where_it_is_asked_to(openai_api: StandInOpenAI) -> None:
    openai_api.queue(answer("Hi."))
    assert "usage" not in post(openai_api, good() | {"stream": True}).text


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 429, 500, 502, 503, 504])
def test_it_fails_with_each_status(openai_api: StandInOpenAI, status: int) -> None:
    openai_api.queue(Refuse(status, {"retry-after": "3"}, code="some_code"))
    response = post(openai_api, good())
    assert response.status_code == status
    assert response.headers["retry-after"] == "3"
    assert response.json()["error"]["code"] == "some_code"


@pytest.mark.parametrize("how", [How.DROP, How.RESET])
@pytest.mark.parametrize("before", [None, "role", "finish", "usage", "done"])
def test_a_dropped_connection_is_one(
    openai_api: StandInOpenAI, how: How, before: str | None
) -> None:
    openai_api.queue(Break(how, before=before))
    with pytest.raises(httpx2.TransportError):
        post(openai_api, good() | {"stream": True, "stream_options": {"include_usage": True}})


def test_a_gateway_that_knows_fewer_fields_refuses_the_others() -> None:
    with StandInOpenAI(Quirk.ONLY_MAX_TOKENS, Quirk.NO_STREAM_OPTIONS) as api:
        body = good()
        body["max_completion_tokens"] = body.pop("max_tokens")
        assert "max_completion_tokens" in post(api, body).json()["error"]["message"]
        body = good() | {"stream": True, "stream_options": {}}
        assert "stream_options" in post(api, body).json()["error"]["message"]
