"""The body of a Responses API request, as plain values."""

from typing import Any

from agent.models.interface import (
    AssistantMessage,
    Image,
    Opaque,
    Request,
    Text,
    ToolResult,
    ToolUse,
    UserMessage,
)
from agent.models.openai.dialect import COMPATIBLE_RESPONSES, PUBLIC_RESPONSES, Dialect
from agent.models.openai.responses.request import body
from fakes.providers import PNG, TOOL, result, user

THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}


def opaque(**raw: Any) -> Opaque:
    return Opaque(provider="responses", raw={**THOUGHT, **raw})


def written(
    *messages: UserMessage | AssistantMessage,
    model: str = "gpt-5.4",
    dialect: Dialect = PUBLIC_RESPONSES,
    system: str = "Be short.",
    server_tools: tuple[str, ...] = (),
) -> dict[str, Any]:
    request = Request(
        system=system,
        tools=(TOOL,),
        messages=messages,
        max_tokens=1000,
        server_tools=server_tools,
    )
    return body(request, model=model, dialect=dialect)


def said(*blocks: Text | ToolUse | Opaque) -> AssistantMessage:
    return AssistantMessage(blocks=blocks)


def use(identifier: str = "c1", name: str = "bash") -> ToolUse:
    return ToolUse(id=identifier, name=name, arguments={"command": "ls"})


def test_nothing_is_left_to_the_services_memory() -> None:
    whole = written(user("Hi."))
    assert whole["store"] is False
    assert whole["include"] == ["reasoning.encrypted_content"]
    assert not {"previous_response_id", "conversation"} & set(whole)


def test_a_turn_goes_back_in_its_order_and_without_ids() -> None:
    answer = said(opaque(), Text(text="I look.", extra={"phase": "commentary"}), use())
    items = written(user("Go."), answer, user("And?", results=(result("c1"),)))["input"]
    assert items[1:] == [
        THOUGHT,
        {"type": "message", "role": "assistant", "content": "I look.", "phase": "commentary"},
        {
            "type": "function_call",
            "call_id": "c1",
            "name": "bash",
            "arguments": '{"command": "ls"}',
        },
        {"type": "function_call_output", "call_id": "c1", "output": "ok"},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "And?"}],
        },
    ]


def test_a_thought_of_which_nothing_came_is_left_out() -> None:
    cut = said(Text(text="So."), opaque(), opaque(id="rs_2"))
    assert [item["type"] for item in written(user("Go."), cut, user("?"))["input"]] == [
        *("message", "message", "message"),
    ]


def test_an_error_says_so_and_nothing_is_empty() -> None:
    results = (result("c1", "no", is_error=True), result("c2", "  "))
    items = written(user("Go."), said(use("c1"), use("c2")), user(results=results))["input"]
    assert [item["output"] for item in items[-2:]] == ["Error: no", "(no output)"]
    assert written(user(" "))["input"][0]["content"][0]["text"] == "(an empty message)"
    assert written()["input"][0]["content"] == "(an empty message)"


def test_an_image_stands_in_the_result_that_shows_it() -> None:
    image = Image(media_type="image/png", data=PNG)
    shown = ToolResult(tool_use_id="c1", text="a.png", is_error=False, images=(image,))
    history = (user("Go."), said(use()), UserMessage(blocks=(shown,)))
    (output,) = [item["output"] for item in written(*history)["input"] if "output" in item]
    assert [part["type"] for part in output] == ["input_text", "input_image"]
    blind = Dialect(limit=PUBLIC_RESPONSES.limit, without=frozenset({"input_image"}))
    (output,) = [
        item["output"] for item in written(*history, dialect=blind)["input"] if "output" in item
    ]
    assert "left out, this service takes no images" in output[1]["text"]


def test_names_and_ids_that_the_api_would_refuse_are_made_to_fit_and_stay_pairs() -> None:
    long = "x" * 200
    results = (result(long), result("c2"))
    history = (user("Go."), said(use(long, "a b.ü"), use("c2", "")), user(results=results))
    calls, outputs = written(*history)["input"][1:3], written(*history)["input"][3:]
    assert [call["name"] for call in calls] == ["a_b__", "_"]
    assert [call["call_id"] for call in calls] == [output["call_id"] for output in outputs]
    assert all(len(call["call_id"]) <= 64 for call in calls)


def test_a_longer_history_begins_with_the_shorter_one() -> None:
    history: list[UserMessage | AssistantMessage] = [
        user("Go."),
        said(opaque(), use()),
        user(results=(result("c1"),)),
    ]
    longer = [*history, said(Text(text="So.")), user("?")]
    first, second = written(*history), written(*longer)
    assert second["input"][: len(first["input"])] == first["input"]
    assert first["prompt_cache_key"] == second["prompt_cache_key"]
    assert first["prompt_cache_key"] != written(user("Else."))["prompt_cache_key"]


def test_models_that_do_not_reason_are_not_asked_to() -> None:
    assert {"reasoning", "include"} <= set(written(user("Hi."), model="gpt-5.4"))
    for model in ("gpt-4o", "openai/gpt-4.1", "chatgpt-4o-latest"):
        assert not {"reasoning", "include"} & set(written(user("Hi."), model=model))


def test_what_a_dialect_leaves_out_is_left_out() -> None:
    assert "prompt_cache_key" not in written(user("Hi."), dialect=COMPATIBLE_RESPONSES)
    bare = Dialect(limit=PUBLIC_RESPONSES.limit, without=frozenset({"encrypted_content", "store"}))
    whole = written(user("Go."), said(opaque(), use()), user(results=(result("c1"),)), dialect=bare)
    assert "store" not in whole
    assert "reasoning" not in {item["type"] for item in whole["input"]}


def test_a_tool_of_ours_may_have_optional_arguments() -> None:
    (tool,) = written(user("Hi."))["tools"]
    assert (tool["type"], tool["name"], tool["strict"]) == ("function", "bash", False)
    assert tool["parameters"] == TOOL.schema


def test_the_services_tools_are_those_of_the_policy_and_sealed_as_it_says() -> None:
    assert [tool["type"] for tool in written(user("Hi."))["tools"]] == ["function"]
    found = written(user("Hi."), server_tools=("web_search", "code_execution"))["tools"][1:]
    assert found == [
        {"type": "web_search", "external_web_access": False},
        {
            "type": "code_interpreter",
            "container": {"type": "auto", "network_policy": {"type": "disabled"}},
        },
    ]
    live = written(user("Hi."), server_tools=("web_search", "web_fetch"))["tools"][1:]
    assert live == [{"type": "web_search", "external_web_access": True}]
