"""The stand-in is strict: it refuses what the real API refuses, in the API's own form."""

import copy
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from standins.anthropic.server import StandIn
from standins.exchange.replies import Break, Call, How, Page, Refuse, Thought, answer

MODEL = "claude-opus-5-5"
TOOL = {"name": "bash", "description": "d", "input_schema": {"type": "object"}}
MARK = {"type": "ephemeral"}


def text(words: str = "Hi.", **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def use(identifier: str = "t1", **more: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": identifier, "name": "bash", "input": {}, **more}


def done(identifier: str = "t1", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": identifier, "content": "ok", **more}


def good() -> dict[str, Any]:
    return {
        "model": MODEL,
        "max_tokens": 100,
        "system": [text("Be short.")],
        "tools": [TOOL],
        "messages": [
            {"role": "user", "content": [text()]},
            {"role": "assistant", "content": [text(), use()]},
            {"role": "user", "content": [done()]},
        ],
    }


def post(api: StandIn, body: object, **headers: str) -> httpx2.Response:
    sent = {"authorization": f"Bearer {api.key}", "anthropic-version": "2026-10-21"} | headers
    sent = {name.replace("_", "-"): value for name, value in sent.items() if value}
    with httpx2.Client(trust_env=False, timeout=60) as client:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json"} | sent
        return client.post(api.url + "/v1/messages", content=content, headers=sent)


Change = Callable[[dict[str, Any]], object]

REFUSED: dict[str, tuple[Change, str]] = {
    "an unknown field": (lambda b: b.update(temprature=1), "temprature: Extra inputs"),
    "a field of the SDK's method that no body has": (
        lambda b: b.update(workspace_id="w"),
        "workspace_id: Extra inputs",
    ),
    "an unknown field in a block": (lambda b: b["messages"][0]["content"][0].update(x=1), "Extra"),
    "an unknown field in a tool": (lambda b: b["tools"].append(TOOL | {"x": 1}), "Extra inputs"),
    "an unknown kind of block": (lambda b: b["system"].append({"type": "poem"}), "system"),
    "a missing field": (lambda b: b.pop("max_tokens"), "max_tokens: Field required"),
    "a number as text": (lambda b: b.update(max_tokens="9"), "max_tokens: Input should be"),
    "no tokens": (lambda b: b.update(max_tokens=0), "max_tokens"),
    "too many tokens": (lambda b: b.update(max_tokens=128_001), "max_tokens"),
    "no messages": (lambda b: b.update(messages=[]), "at least one message"),
    "an assistant first": (lambda b: b["messages"].pop(0), "first message must use the user role"),
    "an empty message": (lambda b: b["messages"][0].update(content=[]), "non-empty content"),
    "an empty text": (lambda b: b["messages"][0].update(content=[text("")]), "non-whitespace"),
    "a blank text": (lambda b: b["messages"][0].update(content=[text(" \n")]), "non-whitespace"),
    "a call without a result": (lambda b: b["messages"][2].update(content=[text()]), "without"),
    "a call that ends it all": (lambda b: b["messages"].pop(), "prefill"),
    "a result after a text": (
        lambda b: b["messages"][2].update(content=[text(), done()]),
        "without `tool_result` blocks immediately after",
    ),
    "a result between texts": (
        lambda b: b["messages"].append({"role": "user", "content": [text(), done()]}),
        "single result",
    ),
    "a result without a call": (
        lambda b: b["messages"][2]["content"].append(done("t9")),
        "unexpected `tool_use_id`",
    ),
    "a result twice": (lambda b: b["messages"][2]["content"].append(done()), "single result"),
    "two calls with one id": (
        lambda b: b["messages"][1]["content"].append(use()),
        "ids must be unique",
    ),
    "a call by the user": (lambda b: b["messages"][0]["content"].append(use("t0")), "assistant"),
    "a result by the assistant": (
        lambda b: b["messages"][1]["content"].insert(0, done()),
        "can only be in `user`",
    ),
    "five marks": (
        lambda b: b["messages"][0].update(content=[text(cache_control=MARK)] * 5),
        "A maximum of 4 blocks",
    ),
    "a mark of another kind": (
        lambda b: b["tools"].append(TOOL | {"name": "b", "cache_control": {"type": "hard"}}),
        "cache_control.type",
    ),
    "a tool's name with a dot": (lambda b: b["tools"].append(TOOL | {"name": "a.b"}), "pattern"),
    "a tool's name too long": (lambda b: b["tools"].append(TOOL | {"name": "a" * 129}), "pattern"),
    "two tools of one name": (lambda b: b["tools"].append(TOOL), "unique"),
    "a made-up thinking block": (
        lambda b: b["messages"][1]["content"].insert(
            0, {"type": "thinking", "thinking": "So.", "signature": "abc"}
        ),
        "Invalid `signature`",
    ),
    "thinking turned off where it can't be": (
        lambda b: b.update(thinking={"type": "disabled"}),
        "thinking.type",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_refuses(api: StandIn, what: str) -> None:
    change, complaint = REFUSED[what]
    body = copy.deepcopy(good())
    change(body)
    response = post(api, body)
    assert response.status_code == 400
    error = response.json()
    assert error["type"] == "error"
    assert error["error"]["type"] == "invalid_request_error"
    assert complaint in error["error"]["message"]
    assert error["request_id"] == response.headers["request-id"]
    assert api.requests[0].fault == error["error"]["message"]


def test_it_takes_what_is_right(api: StandIn) -> None:
    api.queue(answer("Fine."))
    response = post(api, good())
    assert response.status_code == 200
    assert response.json()["content"][0]["text"] == "Fine."


def test_an_unknown_model_is_not_found(api: StandIn) -> None:
    assert post(api, good() | {"model": "claude-9"}).status_code == 404


@pytest.mark.parametrize("key", ["", "Bearer", "Bearer wrong"])
def test_a_missing_or_wrong_key_is_401(api: StandIn, key: str) -> None:
    response = post(api, good(), authorization=key)
    assert response.status_code == 401
    assert response.json()["error"]["type"] == "authentication_error"


def test_the_version_header_is_needed(api: StandIn) -> None:
    assert post(api, good(), anthropic_version="").status_code == 400


def test_the_older_key_header_is_taken_too(api: StandIn) -> None:
    api.queue(answer("Fine."))
    assert post(api, good(), authorization="", x_api_key=api.key).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"a"'])
def test_a_body_that_is_no_object_is_refused(api: StandIn, body: bytes) -> None:
    assert post(api, body).status_code == 400


def test_nothing_queued_is_an_error_and_not_a_wait(api: StandIn) -> None:
    response = post(api, good())
    assert (response.status_code, api.left) == (400, ())
    assert "nothing queued" in response.json()["error"]["message"]


def test_a_stream_has_the_documented_order(api: StandIn) -> None:
    api.queue(answer(Thought("So."), "Hi.", Call("bash", {"command": "ls"})))
    lines = post(api, good() | {"stream": True}).text.splitlines()
    kinds = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 3


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 429, 500, 502, 503, 504, 529])
def test_it_fails_with_each_documented_status(api: StandIn, status: int) -> None:
    api.queue(Refuse(status, {"retry-after": "3"}, code="some_code"))
    response = post(api, good())
    assert response.status_code == status
    assert response.headers["retry-after"] == "3"
    assert response.json()["error"]["details"] == {"error_code": "some_code"}


@pytest.mark.parametrize("how", [How.DROP, How.RESET])
@pytest.mark.parametrize("before", [None, "message_start", "message_stop"])
def test_a_dropped_connection_is_one(api: StandIn, how: How, before: str | None) -> None:
    api.queue(Break(how, before=before))
    with pytest.raises(httpx2.TransportError):
        post(api, good() | {"stream": True})


def test_a_proxys_page_is_one(api: StandIn) -> None:
    api.queue(Page(503))
    assert post(api, good()).text.startswith("<html>")


def test_leaving_does_not_wait_for_a_hanging_stream() -> None:
    with StandIn() as api:
        api.queue(Break(How.HANG, before="message_stop"))
        with (
            httpx2.Client(trust_env=False, timeout=0.1) as client,
            pytest.raises(httpx2.ReadTimeout),
        ):
            client.post(
                api.url + "/v1/messages",
                json=good() | {"stream": True},
                headers={"x-api-key": api.key, "anthropic-version": "1"},
            )
