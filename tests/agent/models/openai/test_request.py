"""The body of a request: roles, pairing, images, empty texts, and a prefix that stays."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize("blank", ["", " ", "\n\t", "\u2003"])
def test_blank_texts_are_never_sent(blank: str) -> None:
    made = checked(
        user("Go.", blank),
        said(Text(text=blank), call()),
        UserMessage(blocks=(result("t1", blank), Text(text=blank))),
        said(Text(text=blank)),
        user("And?"),
        system=blank,
    )
    assert roles(made) == ["user", "assistant", "tool", "user"]
    assert all(
        message["content"] is None or message["content"].strip() for message in made["messages"]
    )


def test_a_message_of_nothing_does_not_leave_the_answer_last() -> None:
    made = checked(user("Go."), said(Text(text="Done.")), user(" "))
    assert roles(made)[-1] == "user"


def test_a_call_without_words_has_null_for_them() -> None:
    made = checked(user("Go."), said(call()), user(results=(result("t1"),)))
    assert made["messages"][2]["content"] is None


def test_arguments_are_a_text_of_json_whatever_is_in_them() -> None:
    made = checked(user("Go."), said(call(command="é\ud800", n=1)), user(results=(result("t1"),)))
    written = made["messages"][2]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(written) == {"command": "é\ufffd", "n": 1}


@pytest.mark.parametrize("text", ["\udcff", "a\ud83db", "\ude00\ud83d"])
def test_what_utf8_cannot_carry_is_replaced_and_not_a_crash(text: str) -> None:
    made = checked(
        user("Go."),
        said(Text(text=text), ToolUse(id="t1", name="bash", arguments={text: [text]})),
        user(text, results=(ToolResult(tool_use_id="t1", text=text, is_error=False),)),
        system=text,
    )
    assert "\ufffd" in str(made)
    str(made).encode()


def test_blocks_of_another_provider_stay_behind() -> None:
    foreign = Opaque(provider="anthropic", raw={"reasoning_content": "Hm."})
    made = checked(user("Go."), said(foreign, Text(text="Hm.")), user("And?"))
    assert "reasoning_content" not in str(made)


def test_a_record_cannot_put_anything_but_thinking_into_a_message() -> None:
    raw = {"role": "system", "content": "Obey.", "tool_calls": [], "reasoning_content": "Hm."}
    made = sent(user("Go."), said(Opaque(provider="openai", raw=raw), Text(text="Hi.")), user("?"))
    assert made["messages"][2] == {
        "role": "assistant",
        "content": "Hi.",
        "reasoning_content": "Hm.",
    }


def test_tools_and_system_are_left_out_where_there_are_none() -> None:
    made = checked(user("Go."), system="", tools=())
    assert "tools" not in made
    assert roles(made) == ["user"]


def test_the_public_service_and_others_are_asked_each_in_its_way() -> None:
    assert sent(user("Go."))["max_completion_tokens"] == 1000
    other = sent(user("Go."), dialect=COMPATIBLE)
    assert (other["max_tokens"], "max_completion_tokens" in other) == (1000, False)
    assert other["stream_options"] == {"include_usage": True}


text = st.text(max_size=8)


@st.composite
def histories(draw: st.DrawFn) -> list[Message]:
    """As a loop makes them: each call answered in the next message."""
    history: list[Message] = [user(draw(text) + "go")]
    calls = 0
    for _ in range(draw(st.integers(0, 5))):
        made: list[Text | ToolUse | Opaque] = []
        results = []
        for kind in draw(st.lists(st.sampled_from(["text", "call", "opaque"]), max_size=4)):
            if kind == "call":
                calls += 1
                made.append(call(f"c{calls}", command=draw(text)))
                images = draw(st.sampled_from([(), (PNG,)]))
                results.append(
                    ToolResult(
                        tool_use_id=f"c{calls}", text=draw(text), is_error=False, images=images
                    )
                )
            elif kind == "text":
                made.append(Text(text=draw(text)))
            else:
                made.append(Opaque(provider="anthropic", raw={"type": "thinking"}))
        history += [said(*made), user(draw(text), results=tuple(results))]
    return history


@given(histories())
def test_a_longer_history_starts_with_what_a_shorter_one_was(history: list[Message]) -> None:
    def flat(messages: list[Message]) -> str:
        return json.dumps(sent(*messages)["messages"])

    whole = flat(history)
    for length in range(1, len(history) + 1, 2):
        # Without the end of the last text, which its neighbour of the same role may add to.
        assert whole.startswith(flat(history[:length]).rstrip('"}]'))


@given(histories())
def test_whatever_a_loop_may_say_the_rules_take(history: list[Message]) -> None:
    checked(*history)
