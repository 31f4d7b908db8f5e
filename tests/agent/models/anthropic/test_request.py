"""The body of a request: order, roles, empty blocks, cache marks, and a prefix that stays."""

from typing import Any

from agent.models.anthropic.request import body
from agent.models.interface import (
    AssistantMessage,
    Message,
    Opaque,
    Request,
    Text,
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


def test_an_error_result_is_marked_as_one() -> None:
    made = checked(user("Go."), said(call()), user(results=(result("t1", "no", is_error=True),)))
    assert made["messages"][2]["content"][0]["is_error"] is True


def test_a_surrogate_pair_is_the_character_it_stands_for() -> None:
    assert encodable("\ud83d\ude00") == "😀"


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
