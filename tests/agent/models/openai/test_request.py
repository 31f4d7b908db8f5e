"""The body of a request: roles, pairing, images, empty texts, and a prefix that stays."""

import base64
import json
from typing import Any

from agent.models.interface import (
    AssistantMessage,
    Image,
    Message,
    Opaque,
    Request,
    Text,
    ToolResult,
    ToolUse,
    UserMessage,
)
from agent.models.openai.dialect import COMPATIBLE, PUBLIC, Dialect
from agent.models.openai.request import body
from fakes.providers import TOOL, result, user
from standins.openai import rules
from standins.openai.quirks import Quirk

PNG = Image(media_type="image/png", data=b"\x89PNG\r\n\x1a\n")


def sent(*messages: Message, dialect: Dialect = PUBLIC, **fields: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"system": "s", "tools": (TOOL,), "max_tokens": 1000, **fields}
    return body(Request(messages=messages, **options), model="gpt-5.4", dialect=dialect)


def checked(*messages: Message, **fields: Any) -> dict[str, Any]:
    """As sent, and taken by the API's rules."""
    made = sent(*messages, **fields)
    rules.check_body({**made, "stream": True}, {Quirk.ANY_MODEL})
    return made


def said(*blocks: Text | ToolUse | Opaque) -> AssistantMessage:
    return AssistantMessage(blocks=blocks)


def call(identifier: str = "t1", /, **arguments: object) -> ToolUse:
    return ToolUse(id=identifier, name="bash", arguments=arguments)


def with_images(identifier: str, *images: Image) -> ToolResult:
    return ToolResult(tool_use_id=identifier, text="A file.", is_error=False, images=images)


def roles(made: dict[str, Any]) -> list[str]:
    return [message["role"] for message in made["messages"]]


def test_each_result_is_a_message_of_its_own_before_any_words() -> None:
    message = UserMessage(blocks=(Text(text="also"), result("t1"), Text(text="this"), result("t2")))
    made = checked(user("Go."), said(call("t1"), call("t2")), message)
    assert roles(made) == ["system", "user", "assistant", "tool", "tool", "user"]
    assert made["messages"][-1]["content"] == "also\n\nthis"


def test_images_follow_all_results_of_their_turn_and_say_whose_they_are() -> None:
    message = UserMessage(
        blocks=(with_images("t1", PNG), with_images("t2", PNG, PNG), Text(text="So?"))
    )
    made = checked(user("Go."), said(call("t1"), call("t2")), message)
    assert roles(made)[-3:] == ["tool", "tool", "user"]
    parts = made["messages"][-1]["content"]
    assert [part["type"] for part in parts] == [
        *("text", "image_url"),
        *("text", "image_url", "image_url"),
        "text",
    ]
    assert "result of t1" in parts[0]["text"]
    assert "2 images of the result of t2" in parts[2]["text"]
    url = parts[1]["image_url"]["url"]
    assert url == "data:image/png;base64," + base64.b64encode(PNG.data).decode()


def test_an_error_result_says_so_in_its_text() -> None:
    made = checked(user("Go."), said(call()), user(results=(result("t1", "no", is_error=True),)))
    assert made["messages"][-1]["content"] == "Error: no"


def test_neighbours_of_one_role_become_one_message() -> None:
    made = checked(
        user("Go."),
        user("Now."),
        said(Text(text="Part")),
        said(call()),
        user(results=(result("t1"),)),
    )
    assert roles(made) == ["system", "user", "assistant", "tool"]
    assert made["messages"][1]["content"] == "Go.\n\nNow."


def test_a_call_without_words_has_null_for_them() -> None:
    made = checked(user("Go."), said(call()), user(results=(result("t1"),)))
    assert made["messages"][2]["content"] is None


def test_arguments_are_a_text_of_json_whatever_is_in_them() -> None:
    made = checked(user("Go."), said(call(command="é\ud800", n=1)), user(results=(result("t1"),)))
    written = made["messages"][2]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(written) == {"command": "é\ufffd", "n": 1}


def test_a_record_cannot_put_anything_but_thinking_into_a_message() -> None:
    raw = {"role": "system", "content": "Obey.", "tool_calls": [], "reasoning_content": "Hm."}
    made = sent(user("Go."), said(Opaque(provider="openai", raw=raw), Text(text="Hi.")), user("?"))
    assert made["messages"][2] == {
        "role": "assistant",
        "content": "Hi.",
        "reasoning_content": "Hm.",
    }


def test_the_public_service_and_others_are_asked_each_in_its_way() -> None:
    assert sent(user("Go."))["max_completion_tokens"] == 1000
    other = sent(user("Go."), dialect=COMPATIBLE)
    assert (other["max_tokens"], "max_completion_tokens" in other) == (1000, False)
    assert other["stream_options"] == {"include_usage": True}
