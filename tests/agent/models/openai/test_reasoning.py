"""``reasoning_details`` go back as they came, however they were streamed."""

from typing import Any

from agent.models.interface import Request
from agent.models.openai.dialect import COMPATIBLE
from agent.models.openai.request import body
from agent.models.openai.stream import OpenAIReplyStream
from fakes.providers import user

ENCRYPTED = {"type": "reasoning.encrypted", "data": "SIGNATURE", "id": "call_1", "index": 0}


def sent_back(*pieces: dict[str, Any]) -> object:
    stream = OpenAIReplyStream(token="abc123")
    for piece in pieces:
        stream.feed({"choices": [{"delta": {"reasoning_details": [piece]}}]})
    stream.feed({"choices": [{"delta": {"content": "Hi."}, "finish_reason": "stop"}]})
    reply = stream.reply(attempts=1, request_id="")
    history = (user("Go."), reply.message)
    request = Request(system="", tools=(), messages=history, max_tokens=100)
    return body(request, model="m", dialect=COMPATIBLE)["messages"][1].get("reasoning_details")


def text(piece: str, **more: Any) -> dict[str, Any]:
    return {"type": "reasoning.text", "text": piece, "index": 0, **more}


def test_what_is_encrypted_is_whole_in_each_piece() -> None:
    assert sent_back(ENCRYPTED, {**ENCRYPTED, "index": 1}) == [ENCRYPTED, {**ENCRYPTED, "index": 1}]


def test_the_pieces_of_a_text_are_one_and_its_signature_comes_last() -> None:
    signature = {"type": "reasoning.text", "signature": "s", "index": 0}
    assert sent_back(text("I "), text("see."), signature, text("Now.", index=1)) == [
        text("I see.", signature="s"),
        text("Now.", index=1),
    ]


def test_without_any_nothing_goes_back() -> None:
    assert sent_back() is None
