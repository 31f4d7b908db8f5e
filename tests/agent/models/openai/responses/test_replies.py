"""Replies of the Responses API through the SDK, on a stand-in that refuses what the API refuses."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from agent.errors import ModelAuth, ModelUnavailable
from agent.models.interface import (
    AssistantMessage,
    Discarded,
    Image,
    Message,
    Opaque,
    Retrying,
    StopReason,
    Text,
    ThinkingDelta,
    ToolResult,
    ToolUse,
    Usage,
    UserMessage,
)
from agent.models.retrying import RetryLimits
from agent.models.service import RequestTiming
from fakes.providers import PNG, ProviderChat, result, user
from standins.exchange.replies import (
    Call,
    Page,
    Raw,
    Search,
    Thought,
    answer,
)
from standins.responses.quirks import STREAMS, ResponsesQuirk
from standins.responses.server import StandInResponses

Open = Callable[..., ProviderChat]

LS = Call("bash", {"command": "ls"})


def calls_of(message: AssistantMessage) -> list[ToolUse]:
    return [block for block in message.blocks if isinstance(block, ToolUse)]


def play(one: ProviderChat, turns: int) -> list[Message]:
    """A conversation in which every call is answered."""
    history: list[Message] = [user("Go.")]
    for _ in range(turns):
        reply = one.say(*history)
        results = tuple(result(call.id) for call in calls_of(reply.message))
        history += [reply.message, user(results=results) if results else user("Go on.")]
    return history


def test_thoughts_go_back_encrypted_through_turns_of_parallel_calls(
    chat: ProviderChat,
) -> None:
    chat.api.queue(
        answer(Thought("One."), Thought("Two."), "I look.", LS, LS),
        answer(Thought(redacted=True), LS),
        answer(Thought("Hm."), "Done."),
        answer("Yes."),
    )
    play(chat, 4)
    assert [request.fault for request in chat.api.requests] == [None] * 4
    sent = [item["type"] for item in chat.api.requests[3].body["input"]]
    assert sent.count("reasoning") == 4


@pytest.mark.parametrize("quirk", STREAMS)
def test_a_gateways_way_of_streaming_comes_to_the_same(
    open_responses: Open, quirk: ResponsesQuirk
) -> None:
    with StandInResponses(quirk) as api:
        api.queue(answer(Thought("I look."), "Looking.", LS, Call("list_dir")), answer("Done."))
        conversation = open_responses(api)
        history = play(conversation, 1)
        conversation.say(*history)
        assert [request.fault for request in api.requests] == [None] * 2
    message = history[1]
    assert isinstance(message, AssistantMessage)
    thought, text, first, second = message.blocks
    assert isinstance(thought, Opaque)
    assert text == Text(text="Looking.")
    assert isinstance(first, ToolUse)
    assert isinstance(second, ToolUse)
    assert (first.name, first.arguments, first.problem) == ("bash", {"command": "ls"}, None)
    assert (second.name, second.arguments, second.problem) == ("list_dir", {}, None)
    assert len({first.id, second.id, ""}) == 3
    assert conversation.shown == "Looking.Done."


FIELDS = [
    ResponsesQuirk.NO_INCLUDE,
    ResponsesQuirk.NO_REASONING,
    ResponsesQuirk.NO_STORE,
    ResponsesQuirk.NO_LIMIT,
    ResponsesQuirk.SMALL_OUTPUT,
]


@pytest.mark.parametrize("quirk", FIELDS)
def test_a_field_that_a_service_refuses_is_learnt_once(
    open_responses: Open, quirk: ResponsesQuirk
) -> None:
    with StandInResponses(quirk) as api:
        api.queue(answer("Hi."), answer("Again."))
        conversation = open_responses(api)
        assert conversation.say(max_tokens=32_000).message.blocks == (Text(text="Hi."),)
        conversation.say(max_tokens=32_000)
        faults = [request.fault for request in api.requests]
        assert [fault is None for fault in faults] == [False, True, True]
        (told,) = (event for event in conversation.events if isinstance(event, Retrying))
        assert told.wait_s == 0


def test_a_compatible_service_is_not_sent_what_only_openais_own_uses(
    open_responses: Open,
) -> None:
    with StandInResponses(ResponsesQuirk.NO_CACHE_KEY) as api:
        api.queue(answer("Hi."))
        assert open_responses(api).say().attempts == 1


def test_thoughts_that_are_no_longer_read_are_left_behind_and_the_conversation_goes_on(
    responses_api: StandInResponses, open_responses: Open
) -> None:
    responses_api.queue(answer(Thought("Hm."), "I look.", LS))
    history = play(open_responses(responses_api), 1)
    with StandInResponses(ResponsesQuirk.FORGOTTEN_KEY) as api:
        api.queue(answer("Done."))
        conversation = open_responses(api)
        assert conversation.say(*history).message.blocks == (Text(text="Done."),)
        assert "could not be verified" in str(api.requests[0].fault)
        assert [item["type"] for item in api.requests[1].body["input"]] == [
            *("message", "message", "function_call", "function_call_output"),
        ]


@pytest.mark.parametrize("odd", [{"id": ""}, {"id": "ws_1", "action": {"type": "dance"}}])
def test_an_item_that_its_own_service_does_not_take_back_costs_one_request(
    chat: ProviderChat, odd: Any
) -> None:
    item = {"type": "web_search_call", "status": "completed", "action": "x", **odd}
    chat.api.queue(answer(Thought("Hm."), Raw(item), "Found.", LS), answer("Done."))
    history = play(chat, 1)
    assert chat.say(*history).message.blocks == (Text(text="Done."),)
    assert [request.fault is None for request in chat.api.requests] == [True, False, True]


def test_a_service_that_looks_for_a_thought_in_its_memory_gets_none(
    chat: ProviderChat,
) -> None:
    chat.api.queue(answer(Thought("Hm."), LS))
    history = play(chat, 1)
    error = {"message": "Item with id 'rs_1' not found. Items are not persisted", "param": "input"}
    not_found = Page(404, json.dumps({"error": error}), "application/json")
    chat.api.queue(not_found, answer("Done."))
    assert chat.say(*history).message.blocks == (Text(text="Done."),)
    assert "reasoning" not in str(chat.api.requests[-1].body["input"])


def test_a_service_that_thinks_in_plain_text_gets_it_back(open_responses: Open) -> None:
    with StandInResponses(ResponsesQuirk.PLAIN_REASONING, ResponsesQuirk.ANY_MODEL) as api:
        api.queue(answer(Thought("Hm."), LS, LS), answer("Done."))
        conversation = open_responses(api, "qwen3:8b")
        play(conversation, 2)
        assert [request.fault for request in api.requests] == [None] * 2
    shown = [event.text for event in conversation.events if isinstance(event, ThinkingDelta)]
    assert "".join(shown) == "Hm."


def test_a_service_without_images_is_told_in_words(open_responses: Open) -> None:
    with StandInResponses(ResponsesQuirk.NO_IMAGES) as api:
        api.queue(answer(LS), answer("Blind."))
        conversation = open_responses(api)
        reply = conversation.say(user("Go."))
        (call,) = calls_of(reply.message)
        image = Image(media_type="image/png", data=PNG)
        shown = ToolResult(tool_use_id=call.id, text="a.png", is_error=False, images=(image,))
        conversation.say(user("Go."), reply.message, UserMessage(blocks=(shown,)))
        assert "takes no images" in str(api.requests[-1].body["input"])


# -- what it counts -----------------------------------------------------------------------------


def test_thinking_counts_as_output_and_what_was_cached_apart(chat: ProviderChat) -> None:
    chat.api.queue(answer(Thought("x" * 4000), "Hi."), answer("Again."))
    system = "The same for all. " * 400
    asked = user("a" * 8000)
    first = chat.say(asked, system=system, max_tokens=9000).usage
    assert first.output_tokens == 1 + 1000 + 1
    assert first.cache_read_tokens == 0
    second = chat.say(user("a" * 8000), user("?"), system=system).usage
    assert second.cache_read_tokens >= 1024
    whole = chat.api.requests[1].usage["prompt_tokens"]
    assert second.input_tokens + second.cache_read_tokens == whole


def test_thinking_that_is_left_out_of_the_output_is_found_in_the_total(
    open_responses: Open,
) -> None:
    with StandInResponses(ResponsesQuirk.THINKING_APART) as api:
        api.queue(answer(Thought("x" * 4000), "Hi."))
        used = open_responses(api).say(max_tokens=9000).usage
        assert used.output_tokens == 1 + 1000 + 1


def test_a_reply_that_does_not_say_what_it_used_is_counted_as_one(open_responses: Open) -> None:
    with StandInResponses(ResponsesQuirk.NO_USAGE) as api:
        api.queue(answer("Hi."))
        assert open_responses(api).say().usage == Usage(uncounted_replies=1)


# -- the service's own tools --------------------------------------------------------------------


def test_a_search_is_shown_counted_and_taken_back(chat: ProviderChat) -> None:
    chat.api.queue(answer(Thought("Hm."), Search("landlock abi 6"), "Found."), answer("Yes."))
    reply = chat.say(user("Go."), server_tools=("web_search",))
    (search,) = [b for b in reply.message.blocks if isinstance(b, Opaque) and b.server_side]
    assert search.server_side == "web_search: landlock abi 6"
    assert reply.usage.web_searches == 1
    chat.say(user("Go."), reply.message, user("And?"))
    assert [request.fault for request in chat.api.requests] == [None, None]
    (tool,) = [t for t in chat.api.requests[0].body["tools"] if t["type"] != "function"]
    assert tool == {"type": "web_search", "external_web_access": False}
    assert all(tool["type"] == "function" for tool in chat.api.requests[1].body["tools"])


UNASKED: list[dict[str, Any]] = [
    {"type": "custom_tool_call", "call_id": "c1", "name": "python", "input": "1 + 1"},
    {"type": "local_shell_call", "id": "l1", "call_id": "c1", "action": {"command": ["ls"]}},
    {"type": "shell_call", "call_id": "c1", "action": {"commands": ["rm -rf /"]}},
]


@pytest.mark.parametrize("item", UNASKED, ids=lambda item: item["type"])
def test_a_call_of_a_kind_that_nobody_offered_is_answered_and_not_run(
    chat: ProviderChat, item: dict[str, Any]
) -> None:
    chat.api.queue(answer("I do it.", Raw(item)), answer("I see."))
    reply = chat.say(user("Go."))
    (call,) = calls_of(reply.message)
    assert reply.stop is StopReason.TOOL_USE
    assert "not offered here" in (call.problem or "")
    refused = user(results=(result(call.id, "no", is_error=True),))
    chat.say(user("Go."), reply.message, refused)
    assert chat.api.requests[1].fault is None


# -- the service --------------------------------------------------------------------------------


def test_an_error_as_an_event_of_either_form_is_the_services(
    responses_api: StandInResponses, open_responses: Open
) -> None:
    flat = b'data: {"type": "error", "code": "invalid_api_key", "message": "who are you"}\n\n'
    nested = b'data: {"type": "error", "error": {"type": "x", "message": "slow down"}}\n\n'
    responses_api.queue(Page(200, flat, "text/event-stream"))
    with pytest.raises(ModelAuth, match="who are you"):
        open_responses(responses_api).say()
    responses_api.queue(Page(200, nested, "text/event-stream"), answer("Better."))
    assert open_responses(responses_api).say().attempts == 2


def test_a_service_that_never_ends_its_answers_is_given_up(
    responses_api: StandInResponses, open_responses: Open
) -> None:
    begun = b'data: {"type": "response.created", "response": {"status": "in_progress"}}\n\n'
    responses_api.queue(*[Page(200, begun, "text/event-stream")] * 3)
    timing = RequestTiming(limits=RetryLimits(attempts=3))
    conversation = open_responses(responses_api, timing=timing)
    with pytest.raises(ModelUnavailable, match="its end is missing"):
        conversation.say()
    void = [event for event in conversation.events if isinstance(event, Discarded)]
    assert [event.usage for event in void] == [Usage(uncounted_replies=1)] * 3
