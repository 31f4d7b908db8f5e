"""The body of a request: order, roles, empty blocks, cache marks, and a prefix that stays."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.models.anthropic.request import body
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
from agent.models.utf8 import encodable
from fakes.providers import TOOL, result, user
from standins.anthropic import rules

MODEL = "claude-opus-5-5"


def sent(*messages: Message, model: str = MODEL, **fields: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"system": "s", "tools": (TOOL,), "max_tokens": 1000, **fields}
    return body(Request(messages=messages, **options), model=model)


def checked(*messages: Message, **fields: Any) -> dict[str, Any]:
    """As sent, and taken by the API's rules."""
    made = sent(*messages, **fields)
    rules.check_body({**made, "stream": True})
    return made


def said(*blocks: Text | ToolUse | Opaque) -> AssistantMessage:
    return AssistantMessage(blocks=blocks)


def call(identifier: str = "t1", /, **arguments: object) -> ToolUse:
    return ToolUse(id=identifier, name="bash", arguments=arguments)


def marks(value: Any) -> int:
    if isinstance(value, dict):
        return ("cache_control" in value) + sum(marks(item) for item in value.values())
    return sum(marks(item) for item in value) if isinstance(value, list) else 0


def unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: unmarked(v) for k, v in value.items() if k != "cache_control"}
    return [unmarked(item) for item in value] if isinstance(value, list) else value


def test_results_stand_before_texts() -> None:
    message = UserMessage(blocks=(Text(text="also"), result("t1"), Text(text="this"), result("t2")))
    made = checked(user("Go."), said(call("t1"), call("t2")), message)
    kinds = [block["type"] for block in made["messages"][2]["content"]]
    assert kinds == ["tool_result", "tool_result", "text", "text"]


def test_neighbours_of_one_role_become_one_message() -> None:
    made = checked(
        user("Go."),
        said(Text(text="Part")),
        said(call()),
        user(results=(result("t1"),)),
        user("And?"),
    )
    assert [message["role"] for message in made["messages"]] == ["user", "assistant", "user"]


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
    assert "system" not in made
    assert len(made["messages"]) == 3
    assert "content" not in made["messages"][2]["content"][0]


def test_a_message_of_nothing_does_not_leave_the_answer_last() -> None:
    made = checked(user("Go."), said(Text(text="Done. ")), user(" "))
    assert [message["role"] for message in made["messages"]] == ["user", "assistant", "user"]


def test_blocks_of_another_provider_stay_behind() -> None:
    foreign = Opaque(provider="openai", raw={"type": "reasoning"})
    made = checked(user("Go."), said(foreign, Text(text="Hm.")), user("And?"))
    assert [block["type"] for block in made["messages"][1]["content"]] == ["text"]


def test_an_error_result_is_marked_as_one() -> None:
    made = checked(user("Go."), said(call()), user(results=(result("t1", "no", is_error=True),)))
    assert made["messages"][2]["content"][0]["is_error"] is True


@pytest.mark.parametrize("text", ["\udcff", "a\ud83db", "\ude00\ud83d"])
def test_what_utf8_cannot_carry_is_replaced_and_not_a_crash(text: str) -> None:
    message = user(text, results=(ToolResult(tool_use_id="t1", text=text, is_error=False),))
    made = checked(
        user("Go."),
        said(ToolUse(id="t1", name="bash", arguments={"command": text, text: [text]})),
        message,
        system=text,
    )
    assert "\ufffd" in str(made)
    str(made).encode()


def test_a_surrogate_pair_is_the_character_it_stands_for() -> None:
    assert encodable("\ud83d\ude00") == "😀"


def test_tools_and_system_are_left_out_where_there_are_none() -> None:
    made = checked(user("Go."), system="", tools=())
    assert not {"tools", "system"} & made.keys()


def test_families_that_think_adaptively_are_asked_for_a_summary_and_others_are_not() -> None:
    assert checked(user("Go."))["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert "thinking" not in checked(user("Go."), model="claude-haiku-4-5")
    assert "thinking" not in sent(user("Go."), model="somebody-elses")


def test_no_more_than_four_marks_however_long_the_history() -> None:
    tools = tuple(ToolSpec(name=f"t{n}", description="d", schema=TOOL.schema) for n in range(30))
    history: list[Message] = [user("Go.")]
    for number in range(40):
        history += [said(call(f"c{number}")), user(results=(result(f"c{number}"),))]
        assert marks(checked(*history, tools=tools)) <= 4


def test_a_mark_stands_at_the_end_of_tools_system_and_the_last_two_user_messages() -> None:
    history = (user("Go."), said(call()), user(results=(result("t1"),)), said(Text(text="Hm.")))
    made = checked(*history, user("one", "two"))
    assert "cache_control" in made["tools"][-1]
    assert "cache_control" in made["system"][-1]
    assert "cache_control" in made["messages"][2]["content"][-1]
    assert "cache_control" in made["messages"][4]["content"][-1]
    assert marks(made) == 4


def test_a_result_without_text_gets_no_mark() -> None:
    made = checked(
        user("Go."), said(call("a"), call("b")), user(results=(result("a"), result("b", "")))
    )
    last = made["messages"][2]["content"]
    assert ["cache_control" in block for block in last] == [True, False]


text = st.text(max_size=8)
replies = st.lists(
    st.one_of(
        st.builds(Text, text=text),
        st.just("call"),
        st.builds(
            Opaque,
            provider=st.sampled_from(["anthropic", "other"]),
            raw=st.just({"type": "redacted_thinking", "data": "d"}),
        ),
    ),
    max_size=4,
)


@st.composite
def histories(draw: st.DrawFn) -> list[Message]:
    """As a loop makes them: each call answered in the next message."""
    history: list[Message] = [user(draw(text) + "go")]
    calls = 0
    for blocks in draw(st.lists(replies, max_size=5)):
        made: list[Text | ToolUse | Opaque] = []
        results = []
        for block in blocks:
            if isinstance(block, str):
                calls += 1
                made.append(call(f"c{calls}", command=draw(text)))
                results.append(result(f"c{calls}", draw(text)))
            else:
                made.append(block)
        history += [said(*made), user(draw(text), results=tuple(results))]
    return history


@given(histories())
def test_a_longer_history_starts_with_what_a_shorter_one_was(history: list[Message]) -> None:
    def flat(messages: list[Message]) -> list[Any]:
        made = unmarked(sent(*messages))["messages"]
        return [(m["role"], block) for m in made for block in m["content"]]

    whole = flat(history)
    for length in range(1, len(history) + 1, 2):
        shorter = flat(history[:length])
        assert whole[: len(shorter)] == shorter


@given(histories())
def test_whatever_a_loop_may_say_the_rules_take(history: list[Message]) -> None:
    made = {**sent(*history), "stream": True}
    for message in made["messages"]:
        # Their signatures are checked elsewhere, with real ones.
        message["content"] = [b for b in message["content"] if b["type"] != "redacted_thinking"]
    made["messages"] = [message for message in made["messages"] if message["content"]]
    rules.check_body(made)
