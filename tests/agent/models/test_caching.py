"""Prompt caching as a whole run sees it, measured on the stand-in."""

from agent.models.interface import Message, ToolUse, Usage
from fakes.providers import ProviderChat, result, user
from standins.exchange.replies import Call, Thought, answer

SYSTEM = "The container holds a copy of the workspace. " * 60


def run(chat: ProviderChat, *, turns: int, calls: int, output: str) -> Usage:
    history: list[Message] = [user("Fix the failing tests.")]
    used = Usage()
    for number in range(turns):
        thought = Thought(f"Step {number}.")
        chat.api.queue(answer(thought, *[Call("bash", {"command": f"run {number}"})] * calls))
        reply = chat.say(*history, system=SYSTEM)
        used += reply.usage
        made = [block.id for block in reply.message.blocks if isinstance(block, ToolUse)]
        history += [reply.message, user(results=tuple(result(id_, output) for id_ in made))]
    return used


def share_read(used: Usage) -> float:
    total = used.input_tokens + used.cache_read_tokens + used.cache_write_tokens
    return used.cache_read_tokens / total


def test_a_run_of_fifty_turns_reads_nine_tenths_of_its_input_from_the_cache(
    chat: ProviderChat,
) -> None:
    used = run(chat, turns=50, calls=1, output="1 failed, 3 passed\n" * 20)
    assert share_read(used) > 0.9
    assert [request.fault for request in chat.api.requests] == [None] * 50


def test_turns_of_more_blocks_than_the_api_looks_back_still_hit(chat: ProviderChat) -> None:
    run(chat, turns=4, calls=15, output="x" * 200)
    for before, after in zip(chat.api.requests[1:], chat.api.requests[2:], strict=False):
        known = (
            before.usage["cache_read_input_tokens"] + before.usage["cache_creation_input_tokens"]
        )
        assert after.usage["cache_read_input_tokens"] == known


def test_nearly_nothing_is_paid_in_full_after_the_first_turn(chat: ProviderChat) -> None:
    run(chat, turns=10, calls=2, output="x" * 400)
    assert all(request.usage["input_tokens"] == 0 for request in chat.api.requests[1:])


def test_a_forgotten_cache_is_written_again(chat: ProviderChat) -> None:
    chat.api.queue(answer("One."), answer("Two."))
    chat.say(system=SYSTEM)
    chat.api.cache.forget()
    assert chat.say(system=SYSTEM).usage.cache_read_tokens == 0
