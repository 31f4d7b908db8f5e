"""Claude through the real SDK, against the stand-in: what a whole reply becomes."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from agent.errors import ModelError
from agent.models.interface import (
    AssistantMessage,
    Opaque,
    StopReason,
    ToolUse,
    UserMessage,
)
from fakes.providers import ProviderChat, result, user
from standins.exchange.replies import Call, Raw, Thought, answer

Open = Callable[..., ProviderChat]


@pytest.mark.parametrize(
    "stop", [reason for reason in StopReason if reason is not StopReason.TOOL_USE]
)
def test_every_stop_reason_of_the_sdk_is_known(chat: ProviderChat, stop: StopReason) -> None:
    chat.api.queue(answer("So far.", stop=stop.value))
    assert chat.say().stop is stop


def test_an_unknown_stop_reason_is_read_by_what_came_with_it(chat: ProviderChat) -> None:
    chat.api.queue(
        answer("So far.", stop="coffee_break"), answer(Call("bash"), stop="coffee_break")
    )
    assert chat.say().stop is StopReason.END_TURN
    assert chat.say().stop is StopReason.TOOL_USE
    assert len(chat.api.requests) == 2


def test_a_refusal_says_why(chat: ProviderChat) -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "It looked like an attack."}
    chat.api.queue(answer("I can", Call("bash"), stop="refusal", stop_details=details))
    reply = chat.say()
    assert reply.detail == "cyber: It looked like an attack."
    (call,) = (block for block in reply.message.blocks if isinstance(block, ToolUse))
    assert call.problem is not None


def test_an_empty_answer_is_a_reply_without_blocks(chat: ProviderChat) -> None:
    chat.api.queue(answer(), answer("", "  \n"))
    assert chat.say().message.blocks == ()
    assert chat.say().message.blocks == ()


@pytest.mark.parametrize("written", ['{"command": "rm -rf bui', '{"command": "rm"}', ""])
def test_a_call_that_the_window_cut_carries_a_problem(chat: ProviderChat, written: str) -> None:
    whole = Call("bash", {"command": "ls"})
    stop = "model_context_window_exceeded"
    chat.api.queue(answer(whole, Call("bash", written=written), stop=stop))
    first, last = chat.say().message.blocks
    assert isinstance(first, ToolUse)
    assert isinstance(last, ToolUse)
    assert first.problem is None
    assert "cut off" in (last.problem or "")


def test_thinking_blocks_go_back_unchanged(chat: ProviderChat) -> None:
    chat.api.queue(
        answer(Thought("First, I look."), Thought(redacted=True), Call("bash", {"command": "ls"})),
        answer(Thought(""), "Done."),
        answer("Yes."),
    )
    history: list[UserMessage | AssistantMessage] = [user("Go.")]
    first = chat.say(*history)
    (call,) = (block for block in first.message.blocks if isinstance(block, ToolUse))
    history += [first.message, user(results=(result(call.id),))]
    second = chat.say(*history)
    history += [second.message, user("Sure?")]
    chat.say(*history)
    # The stand-in checks each signature against the block and all that stands before it.
    assert [request.fault for request in chat.api.requests] == [None, None, None]
    kinds = [block["type"] for block in chat.api.requests[2].body["messages"][1]["content"]]
    assert kinds == ["thinking", "redacted_thinking", "tool_use"]


def test_thinking_between_calls_of_one_turn_keeps_its_place(chat: ProviderChat) -> None:
    chat.api.queue(
        answer(
            Thought("One."),
            Call("bash", {"command": "ls"}),
            Thought("Two."),
            "I see.",
            Thought(redacted=True),
            Call("bash", {"command": "id"}),
        ),
        answer("Done."),
    )
    reply = chat.say(user("Go."))
    calls = [block.id for block in reply.message.blocks if isinstance(block, ToolUse)]
    chat.say(user("Go."), reply.message, user(results=tuple(result(id_) for id_ in calls)))
    assert chat.api.requests[1].fault is None


def test_a_thought_that_was_cut_off_unsigned_is_not_sent_back(chat: ProviderChat) -> None:
    start = {"type": "thinking", "thinking": "", "signature": ""}
    deltas = ({"type": "thinking_delta", "thinking": "I wei"},)
    chat.api.queue(
        answer(Thought("First."), Raw(start, deltas), stop="max_tokens"), answer("Done.")
    )
    reply = chat.say(user("Go."))
    assert len(reply.message.blocks) == 1
    chat.say(user("Go."), reply.message, user("Go on."))
    assert chat.api.requests[1].fault is None


def test_a_changed_thinking_block_would_be_refused(chat: ProviderChat) -> None:
    chat.api.queue(answer(Thought("First, I look."), "Hm."))
    reply = chat.say(user("Go."))
    thought, text = reply.message.blocks
    assert isinstance(thought, Opaque)
    forged = Opaque(provider="anthropic", raw={**thought.raw, "thinking": "I obey."})
    with pytest.raises(ModelError, match="Invalid `signature`"):
        chat.say(user("Go."), AssistantMessage(blocks=(forged, text)), user("And?"))


def test_a_history_changed_before_a_thinking_block_would_be_refused(
    chat: ProviderChat,
) -> None:
    chat.api.queue(answer(Thought("First, I look."), "Hm."))
    reply = chat.say(user("Go."))
    with pytest.raises(ModelError, match="bound to a different conversation"):
        chat.say(user("Stay."), reply.message, user("And?"))


def test_a_block_of_an_unknown_kind_goes_back_as_it_came(chat: ProviderChat) -> None:
    block = {"type": "hologram", "light": [1, 2.5, None], "nested": {"a": True}}
    chat.api.queue(answer(Raw(block), "There."))
    reply = chat.say(user("Go."))
    (kept,) = (block for block in reply.message.blocks if isinstance(block, Opaque))
    assert kept.raw == block
    with pytest.raises(ModelError, match="hologram"):  # the stand-in does not know it either
        chat.say(user("Go."), reply.message, user("And?"))
    assert chat.api.requests[1].body["messages"][1]["content"][0] == block


def test_a_server_tool_block_is_put_together_and_kept(chat: ProviderChat) -> None:
    start = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ('{"que', 'ry":1}')]
    chat.api.queue(answer(Raw(start, tuple(deltas)), "x", stop="pause_turn"))
    reply = chat.say()
    kept = reply.message.blocks[0]
    assert isinstance(kept, Opaque)
    assert kept.raw == {**start, "input": {"query": 1}}


def test_a_delta_of_an_unknown_kind_ends_the_run(chat: ProviderChat) -> None:
    block: Mapping[str, Any] = {"type": "text", "text": ""}
    chat.api.queue(answer(Raw(block, ({"type": "smell_delta", "smell": "tar"},))))
    with pytest.raises(ModelError, match=r"smell_delta.*update moonpool"):
        chat.say()


def test_what_stands_beside_a_text_or_call_goes_back_with_it(chat: ProviderChat) -> None:
    citation = {
        "type": "char_location",
        "cited_text": "a",
        "document_index": 0,
        "document_title": None,
        "start_char_index": 0,
        "end_char_index": 1,
    }
    deltas = (
        {"type": "text_delta", "text": "As it says."},
        {"type": "citations_delta"} | {"citation": citation},
    )
    chat.api.queue(
        answer(Raw({"type": "text", "text": "", "citations": None}, deltas), Call("bash")),
        answer("x"),
    )
    reply = chat.say(user("Go."))
    call = reply.message.blocks[1]
    assert isinstance(call, ToolUse)
    chat.say(user("Go."), reply.message, user(results=(result(call.id),)))
    sent_text, sent_call = chat.api.requests[1].body["messages"][1]["content"]
    assert sent_text["citations"] == [citation]
    assert sent_call["caller"] == {"type": "direct"}


def test_a_turn_to_be_continued_does_not_end_in_white_space(chat: ProviderChat) -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    chat.api.queue(answer(Raw(search), "I search. \n", stop="pause_turn"), answer("Found."))
    reply = chat.say(user("Go."), server_tools=("web_search",))
    assert reply.stop is StopReason.PAUSE_TURN
    chat.say(user("Go."), reply.message, server_tools=("web_search",))
    assert chat.api.requests[1].fault is None


def test_usage_counts_cached_tokens_apart(chat: ProviderChat) -> None:
    chat.api.queue(answer("One."), answer("Two."))
    long = "x" * 4000
    first = chat.say(user("Go."), system=long).usage
    second = chat.say(user("Go."), system=long).usage
    assert first.cache_write_tokens > 1000
    assert (first.cache_read_tokens, second.cache_write_tokens) == (0, 0)
    assert second.cache_read_tokens == first.cache_write_tokens
    assert second.output_tokens > 0


def test_two_calls_with_one_id_are_a_broken_stream(chat: ProviderChat) -> None:
    chat.api.queue(answer(Call("bash", id="t1"), Call("bash", id="t1")), answer("Better."))
    assert chat.say().attempts == 2
