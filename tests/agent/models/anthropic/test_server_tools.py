"""Tools that the service runs itself: declared as its types have them, sent back as they came."""

from typing import Any

import pytest

from agent.errors import ModelRefusedRequest
from agent.models.anthropic.server_tools import declared, in_words, settled
from agent.models.interface import AssistantMessage, Message, Opaque, StopReason, Text, ToolUse
from fakes.providers import ProviderChat, result, user
from policies.policy import SERVER_TOOLS
from standins.anthropic import rules
from standins.exchange.replies import Call, Found, Search, Thought, answer

ONLY_SEARCH = ("web_search",)


def opaque(message: AssistantMessage) -> list[Opaque]:
    return [block for block in message.blocks if isinstance(block, Opaque)]


@pytest.mark.parametrize("model", sorted(rules.KNOWN_MODELS))
def test_every_model_gets_versions_that_it_runs(model: str) -> None:
    rules.check_body(
        {
            "model": model,
            "max_tokens": 10,
            "tools": declared(SERVER_TOOLS, model=model),
            "messages": [{"role": "user", "content": "Go."}],
        }
    )


def test_without_them_in_the_policy_none_is_sent(chat: ProviderChat) -> None:
    chat.api.queue(answer("x"))
    chat.say()
    assert all("input_schema" in tool for tool in chat.api.requests[0].body["tools"])


def test_a_listed_search_does_not_bring_code_execution_along(chat: ProviderChat) -> None:
    """The newest search has the service run code to filter what it finds, unless told not to."""
    chat.api.queue(answer("x"))
    chat.say(server_tools=("web_search", "web_fetch"))
    search, fetch = chat.api.requests[0].body["tools"][-2:]
    assert search["allowed_callers"] == fetch["allowed_callers"] == ["direct"]


def test_an_address_in_a_file_is_none_that_may_be_fetched(chat: ProviderChat) -> None:
    chat.api.queue(answer("x"))
    chat.say(server_tools=("web_fetch",))
    fetch = chat.api.requests[0].body["tools"][-1]
    assert fetch["url_sources"] == {"client_tool_results": {"type": "none"}}


def test_a_paused_search_goes_back_as_it_came_and_is_answered(chat: ProviderChat) -> None:
    chat.api.queue(
        answer(Thought("I look it up."), Search("landlock abi", None), stop="pause_turn"),
        answer(Found(), Thought("There."), "It is 6.", Call("bash", {"command": "ls"})),
        answer("Done."),
    )
    first = chat.say(user("Go."), server_tools=ONLY_SEARCH)
    assert first.stop is StopReason.PAUSE_TURN
    assert [block.server_side for block in opaque(first.message)] == [
        "",
        "web_search: landlock abi",
    ]
    history: list[Message] = [user("Go."), first.message]
    second = chat.say(*history, server_tools=ONLY_SEARCH)
    assert chat.api.requests[1].body["messages"][-1]["role"] == "assistant"
    (call,) = [block for block in second.message.blocks if isinstance(block, ToolUse)]
    history += [second.message, user(results=(result(call.id),))]
    chat.say(*history, server_tools=ONLY_SEARCH)
    assert [request.fault for request in chat.api.requests] == [None] * 3


def test_what_was_found_goes_back_sealed_as_it_came(chat: ProviderChat) -> None:
    chat.api.queue(answer(Search("a"), "b"), answer("c"))
    reply = chat.say(user("Go."), server_tools=ONLY_SEARCH)
    chat.say(user("Go."), reply.message, user("And?"), server_tools=ONLY_SEARCH)
    assert chat.api.requests[1].fault is None
    *_, found = opaque(reply.message)
    page = dict(found.raw["content"][0], title="Another page")  # type: ignore[index]
    changed = Opaque(provider="anthropic", raw={**found.raw, "content": [page]})
    forged = AssistantMessage(blocks=(opaque(reply.message)[0], changed))
    with pytest.raises(ModelRefusedRequest, match="encrypted_content"):
        chat.say(user("Go."), forged, user("And?"), server_tools=ONLY_SEARCH)


def test_searches_are_counted(chat: ProviderChat) -> None:
    chat.api.queue(answer(Search("a"), Search("b"), "c"))
    assert chat.say(server_tools=ONLY_SEARCH).usage.web_searches == 2


@pytest.mark.parametrize("stop", ["max_tokens", "model_context_window_exceeded"])
def test_a_call_of_the_services_that_was_cut_off_is_not_sent_back(
    chat: ProviderChat, stop: str
) -> None:
    chat.api.queue(answer("I look", Search("half a que", None), stop=stop), answer("x"))
    reply = chat.say(user("Go."), server_tools=ONLY_SEARCH)
    assert reply.message.blocks == (Text(text="I look"),)
    chat.say(user("Go."), reply.message, user("Go on."), server_tools=ONLY_SEARCH)
    assert chat.api.requests[1].fault is None


def test_a_paused_turn_that_our_words_follow_loses_its_open_call(
    chat: ProviderChat,
) -> None:
    """As where a run was taken up again in a pause: the API would refuse every request of it."""
    chat.api.queue(
        answer("I look.", Search("a", None), stop="pause_turn"), answer("x"), answer("y")
    )
    reply = chat.say(user("Go."), server_tools=ONLY_SEARCH)
    words = user("The program was started again.")
    chat.say(user("Go."), reply.message, words, server_tools=ONLY_SEARCH)
    assert [block["type"] for block in chat.api.requests[1].body["messages"][1]["content"]] == [
        "text"
    ]
    alone = AssistantMessage(blocks=(reply.message.blocks[1],))
    chat.say(user("Go."), alone, words, server_tools=ONLY_SEARCH)
    assert [request.fault for request in chat.api.requests] == [None] * 3


def test_beside_calls_to_us_an_open_one_stays() -> None:
    content: list[dict[str, Any]] = [
        {"type": "server_tool_use", "id": "s"},
        {"type": "tool_use", "id": "t"},
    ]
    assert settled(content) == content


@pytest.mark.parametrize("given", [None, [], "x", {"a": {"b": "c"}}, {"query": "q" * 10_000}])
def test_whatever_the_service_asks_itself_is_one_short_line(given: Any) -> None:
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": given}
    assert len(in_words(block)) <= 300
