"""Runs longer than the model's window, through the real SDK, on a stand-in that enforces one.

The sizes are counts, not times; what was measured is printed by `benchmarks/caching.py`.
"""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from agent.conversation.summary import ASK_FOR_NOTES
from agent.models.pricing import facts_of
from agent.record.events.conversation import HistorySummarised, ResultsCleared, ResultsShortened
from agent.record.outcome import Finished, LimitReached, RunLimit
from fakes.long import TASK, converse, replied, share_read, turns
from policies.policy import Policy
from standins.anthropic.compacting import CompactingStandIn
from standins.exchange.replies import Answer, Behaviour, Call, Refuse, answer

pytestmark = pytest.mark.slow

WITHOUT_COMPACTION = "claude-haiku-4-5"
MADE = (ResultsCleared, HistorySummarised, ResultsShortened)


def notes(text: str = "NOTES: all parts looked at.") -> Any:
    """Answers where the model is asked for notes, and nowhere else."""

    def aside(body: Mapping[str, Any]) -> Behaviour | None:
        last = body["messages"][-1]["content"][-1]
        return answer(text) if last.get("text") == ASK_FOR_NOTES else None

    return aside


def texts(body: Mapping[str, Any]) -> str:
    return json.dumps(body["messages"])


def test_fifty_turns_read_nine_tenths_of_their_input_from_the_cache(policy: Policy) -> None:
    with CompactingStandIn() as api:
        api.queue(*turns(50))
        ended, conversation = converse(api, policy)
        assert isinstance(ended, Finished)
        assert share_read(conversation.budget.used) >= 0.9


@pytest.mark.parametrize("name", ["claude-opus-5-5", WITHOUT_COMPACTION])
def test_three_hundred_turns_fit_a_window_of_two_hundred_thousand_tokens(
    policy: Policy, name: str
) -> None:
    with CompactingStandIn(window=200_000) as api:
        api.aside = notes()
        api.queue(*turns(300, thoughts=30))
        ended, conversation = converse(api, policy, name=name)
        assert isinstance(ended, Finished)
        assert conversation.budget.turns == 301
        assert api.refused == [request.fault for request in api.requests if request.fault] == []
        made = [event for event in conversation.log if isinstance(event, MADE)]
        assert len(made) >= 2
        own = name == WITHOUT_COMPACTION
        assert any(
            isinstance(event, ResultsCleared if own else HistorySummarised) for event in made
        )
        # Each token is counted once, those of the summaries too.
        asides = [event.usage for event in made if isinstance(event, HistorySummarised)]
        assert conversation.budget.used == sum(asides, start=replied(conversation.log))
        prices = facts_of(f"anthropic:{name}").prices
        assert prices is not None
        assert conversation.budget.usd == pytest.approx(prices.usd(conversation.budget.used))
        assert share_read(conversation.budget.used) >= 0.9
        # The operator's words are in every request, and the record has every result.
        assert all(json.dumps(TASK)[1:-1] in texts(request.body) for request in api.requests)
        assert len(conversation.ended()) == 300


def test_thirty_parallel_calls_a_turn_do_not_lose_the_cache(policy: Policy) -> None:
    sizes = (200, 400)
    with CompactingStandIn() as api:
        api.queue(*turns(12, parallel=30, sizes=sizes))
        ended, _ = converse(api, policy)
        assert isinstance(ended, Finished)
        for before, after in zip(api.requests[:-1], api.requests[1:], strict=True):
            known = (
                before.usage["cache_read_input_tokens"]
                + before.usage["cache_creation_input_tokens"]
            )
            assert after.usage["cache_read_input_tokens"] == known


def test_a_summary_of_the_service_is_sent_back_as_it_came_and_first(policy: Policy) -> None:
    with CompactingStandIn(window=40_000) as api:
        api.queue(*turns(60, thoughts=3))
        ended, conversation = converse(api, policy, max_tokens=4000)
        assert isinstance(ended, Finished)
        (first, *_) = [event for event in conversation.log if isinstance(event, HistorySummarised)]
        assert first.block is not None
        assert first.author == "service"
        carried = [r for r in api.requests if first.block.raw in _blocks(r.body)]
        assert carried
        for request in carried:
            assert request.body["messages"][0]["content"] == [dict(first.block.raw)]
            assert request.headers["anthropic-beta"] == "compact-2026-09-04"
        # No other request goes by way of what is not stable.
        plain = [r for r in api.requests if "anthropic-beta" not in r.headers]
        assert plain


def test_thinking_of_the_turns_that_stay_goes_back_behind_a_summary_of_the_service(
    policy: Policy,
) -> None:
    with CompactingStandIn(window=40_000) as api:
        api.queue(*turns(60, thoughts=1))
        ended, _ = converse(api, policy, max_tokens=4000)
        assert isinstance(ended, Finished)
        assert api.refused == [request.fault for request in api.requests if request.fault] == []
        behind = [r for r in api.requests if _kinds(r.body)[:1] == ["compaction"]]
        assert any("thinking" in _kinds(request.body) for request in behind)


def test_thinking_bound_to_what_was_cleared_is_left_out_and_newer_thinking_is_kept(
    policy: Policy,
) -> None:
    with CompactingStandIn(window=40_000, compacts=False) as api:
        api.aside = notes()
        api.queue(*turns(60, thoughts=1))
        # The list says that it can, the service says that it can't.
        ended, conversation = converse(api, policy, max_tokens=4000)
        assert isinstance(ended, Finished)
        assert any(isinstance(event, ResultsCleared) for event in conversation.log)
        # Refused was the one request for a summary of the service's own.
        assert api.refused == ["compaction: Extra inputs are not permitted"]
        assert [request.fault for request in api.requests if request.fault] == []
        assert "thinking" in _kinds(api.requests[-1].body)


@pytest.mark.parametrize(
    "summary",
    [
        Refuse(400),
        Refuse(400, message="prompt is too long: 1 tokens > 0 maximum"),
        Answer(blocks=(), stop="refusal"),
        Answer(blocks=(), stop="max_tokens"),
        answer("No block, but words."),
        answer(Call("bash", {"command": "rm -rf ."})),
    ],
)
def test_where_the_service_gives_no_summary_the_run_goes_on_by_its_own_means(
    policy: Policy, summary: Behaviour
) -> None:
    with CompactingStandIn(window=40_000) as api:
        api.aside = notes()
        api.summaries.append(summary)
        api.queue(*turns(40))
        ended, conversation = converse(api, policy, max_tokens=4000)
        assert isinstance(ended, Finished)
        assert any(isinstance(event, ResultsCleared) for event in conversation.log)
        assert all(call.tool == "read_file" for call in conversation.ended())


@pytest.mark.parametrize(
    "reply",
    [
        answer(""),
        answer(Call("bash", {"command": "touch /tmp/taken"})),
        answer("NOTES", Call("bash", {"command": "touch /tmp/taken"})),
        answer("I won't.", stop="refusal"),
        Refuse(400),
        Refuse(400, message="prompt is too long: 9 tokens > 8 maximum"),
    ],
)
def test_where_the_model_writes_no_notes_a_list_of_its_calls_stands_in(
    policy: Policy, reply: Behaviour
) -> None:
    def aside(body: Mapping[str, Any]) -> Behaviour | None:
        return reply if notes()(body) is not None else None

    with CompactingStandIn(window=16_000) as api:
        api.aside = aside
        api.queue(*turns(120, sizes=(350,)))
        ended, conversation = converse(api, policy, name=WITHOUT_COMPACTION, max_tokens=2000)
        assert isinstance(ended, Finished)
        made = [event for event in conversation.log if isinstance(event, HistorySummarised)]
        assert made
        assert {event.author for event in made} == {"nobody"}
        assert "read f0-350-0.py" in made[0].notes
        assert [call.tool for call in conversation.ended()] == ["read_file"] * 120


def test_a_window_smaller_than_the_list_says_is_found_out_and_the_run_goes_on(
    policy: Policy,
) -> None:
    with CompactingStandIn(window=30_000) as api:
        api.aside = notes()
        api.queue(*turns(80))
        known = facts_of("anthropic:claude-haiku-4-5")
        ended, conversation = converse(api, policy, name=WITHOUT_COMPACTION, facts=known)
        assert isinstance(ended, Finished)
        assert any("too long" in words for words in api.refused)
        assert any(isinstance(event, ResultsCleared) for event in conversation.log)
        assert len(conversation.ended()) == 80


def test_a_model_that_stops_for_its_window_is_asked_once_more_with_less(policy: Policy) -> None:
    with CompactingStandIn() as api:
        api.queue(*turns(20)[:-1], answer("hm", stop="model_context_window_exceeded"))
        api.queue(answer("Done."))
        ended, conversation = converse(api, policy)
        assert isinstance(ended, Finished)
        before, after = api.requests[-2:]
        assert len(texts(after.body)) < len(texts(before.body)) / 2
        assert TASK in after.body["messages"][0]["content"][0]["text"]
        assert any(isinstance(event, ResultsCleared) for event in conversation.log)


def test_a_window_that_stays_too_small_ends_the_run_by_its_name(policy: Policy) -> None:
    full = answer("hm", stop="model_context_window_exceeded")
    with CompactingStandIn() as api:
        api.queue(*turns(20)[:-1], full, full)
        ended, _ = converse(api, policy)
        assert isinstance(ended, LimitReached)
        assert ended.limit is RunLimit.CONTEXT
        assert len(api.requests) == 22


def test_results_that_fill_the_window_by_themselves_are_shortened_before_they_are_sent(
    policy: Policy,
) -> None:
    sizes = (60_000,)
    with CompactingStandIn(window=40_000) as api:
        api.queue(*turns(3, parallel=10, sizes=sizes))
        ended, conversation = converse(api, policy, max_tokens=4000)
        assert isinstance(ended, Finished)
        assert api.refused == [request.fault for request in api.requests if request.fault] == []
        assert any(isinstance(event, ResultsShortened) for event in conversation.log)
        # The record has what was read, whole.
        assert all(len(call.text) > 50_000 for call in conversation.ended())


def _blocks(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [block for message in body["messages"] for block in message["content"]]


def _kinds(body: Mapping[str, Any]) -> list[str]:
    return [block["type"] for block in _blocks(body)]
