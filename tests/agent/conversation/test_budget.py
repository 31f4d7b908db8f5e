"""The budget is checked before each call, in dollars too, and counts all that is billed."""

import pytest

from agent.conversation.budget import LEAST_ANSWER_TOKENS, Budget, Stopwatch, TokensNeeded
from agent.models.interface import Reply, Request, StopReason, Usage
from agent.models.pricing import ModelInfo, Prices, Rates, facts_of
from agent.record.outcome import Finished, LimitReached, RunLimit
from agent.record.run_state import BudgetSpent
from fakes.conversation import FakeConversation, with_budget
from fakes.long import converse, turns
from fakes.model import ToldModel, say
from policies.policy import Policy
from standins.anthropic.compacting import CompactingStandIn
from standins.exchange.replies import Break, How, answer

DEAR = Prices(usual=Rates(input=10, output=50, cache_write=12.5, cache_read=1))
MILLION = 1_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def budget(policy: Policy, usd: float, clock: Clock | None = None) -> Budget:
    return Budget(with_budget(policy, usd=usd), clock=clock or Clock(), prices=DEAR)


def test_each_kind_of_token_has_its_price(policy: Policy) -> None:
    counted = budget(policy, 1000)
    counted.add(Usage(input_tokens=MILLION))
    assert counted.usd == 10
    counted.add(Usage(output_tokens=MILLION))
    assert counted.usd == 60
    counted.add_void(Usage(cache_write_tokens=MILLION, cache_read_tokens=MILLION))
    assert counted.usd == 73.5


def test_a_long_prompt_costs_what_its_length_says() -> None:
    prices = facts_of("anthropic:claude-haiku-5-5").prices
    assert prices is not None
    short = prices.usd(Usage(cache_read_tokens=99_000, input_tokens=1000, output_tokens=1000))
    long = prices.usd(Usage(cache_read_tokens=99_000, input_tokens=1001, output_tokens=1000))
    assert long == pytest.approx(5 * short, rel=0.01)


def test_an_answer_is_no_longer_than_what_is_left_pays_for(policy: Policy) -> None:
    counted = budget(policy, 1.0)
    counted.expect(TokensNeeded(new=40_000))  # half a dollar to write
    assert counted.answer_tokens(32_000) == 10_000
    counted.expect(TokensNeeded(new=0))
    assert counted.answer_tokens(10_000) == 10_000


def test_what_is_in_the_cache_is_cheap_until_it_is_forgotten(policy: Policy) -> None:
    clock = Clock()
    counted = budget(policy, 1.0, clock)
    counted.add(Usage())
    counted.expect(TokensNeeded(known=100_000))
    assert counted.reached() is None
    clock.now = 301.0
    limit = counted.reached()
    assert limit is not None
    assert limit.limit is RunLimit.USD
    assert "$1.25" in limit.detail


def test_the_cache_cools_while_a_person_thinks_though_the_run_stands_still(policy: Policy) -> None:
    work, wall = Clock(), Clock()
    counted = Budget(with_budget(policy, usd=1.0), clock=work, wall=wall, prices=DEAR)
    counted.add(Usage())
    counted.expect(TokensNeeded(known=100_000))
    assert counted.reached() is None
    wall.now = 301.0
    assert counted.reached() is not None
    assert counted.elapsed_s == 0


def test_more_is_set_aside_than_a_low_count_says_and_no_more_is_needed(policy: Policy) -> None:
    counted = budget(policy, 1.0)
    counted.expect(TokensNeeded(known=10, most=100_000))
    most = counted.worst(1000)
    assert (most.input_tokens, most.input_usd) == (100_000, 1.25)
    assert counted.reached() is None
    assert counted.answer_tokens(15_000) == 15_000


def test_an_answer_that_was_counted_too_low_costs_no_less_than_it_was_said_to(
    policy: Policy,
) -> None:
    counted = budget(policy, 9.0)
    counted.expect(TokensNeeded(new=1000))
    counted.answer_tokens(100)
    counted.add(Usage(input_tokens=100_000, output_tokens=1, uncounted_replies=1), came_bytes=300)
    assert counted.usd == pytest.approx(1.00005)
    assert (counted.used.input_tokens, counted.used.output_tokens) == (100_000, 100)


def test_a_call_that_could_answer_nothing_is_not_made(policy: Policy) -> None:
    counted = budget(policy, LEAST_ANSWER_TOKENS * 50 / MILLION)
    assert counted.reached() is None
    counted.expect(TokensNeeded(new=1))
    limit = counted.reached()
    assert limit is not None
    assert limit.limit is RunLimit.USD


def test_free_models_need_no_money(policy: Policy) -> None:
    facts = facts_of("script:talk.yaml")
    counted = Budget(with_budget(policy, usd=0.01), prices=facts.prices)
    counted.add(Usage(input_tokens=MILLION, output_tokens=50_000))
    assert counted.usd == 0
    assert counted.answer_tokens(1000) == 1000


def test_a_resumed_meter_goes_on_with_the_sum(policy: Policy) -> None:
    spent = BudgetSpent(turns=3, used=Usage(input_tokens=5), usd=0.75)
    counted = Budget(with_budget(policy, usd=1.0), prices=DEAR, before=spent)
    counted.add(Usage(output_tokens=2000))
    assert counted.usd == pytest.approx(0.85)


@pytest.mark.parametrize("usd", [0.02, 0.05, 0.2, 0.31])
def test_a_model_that_always_answers_as_long_as_it_may_never_passes_the_budget(
    conversation: FakeConversation, policy: Policy, usd: float
) -> None:
    """The worst case of each reply, with its input counted as the service counts it."""
    asked: list[int] = []

    def greedy(request: Request) -> Reply:
        asked.append(request.max_tokens)
        usage = Usage(input_tokens=2000, output_tokens=request.max_tokens)
        return say("x", StopReason.MAX_TOKENS, usage=usage)

    conversation.policy = with_budget(policy, usd=usd, turns=10_000, output_tokens=10**9)
    conversation.facts = ModelInfo(prices=DEAR, context_tokens=1_000_000)
    conversation.max_tokens = 32_000
    conversation.on(ToldModel(*[greedy] * 9))
    assert conversation.budget.usd is not None
    assert conversation.budget.usd <= usd
    assert not asked or asked[-1] < 32_000


def test_the_last_call_of_a_dollar_budget_is_bounded_and_the_run_ends_by_its_name(
    policy: Policy,
) -> None:
    with CompactingStandIn() as api:
        api.queue(*turns(100))
        ended, conversation = converse(api, policy, usd=0.5)
        assert isinstance(ended, LimitReached)
        assert ended.limit is RunLimit.USD
        assert conversation.budget.usd is not None
        assert 0.3 < conversation.budget.usd <= 0.5
        first, last = api.requests[0].body, api.requests[-1].body
        assert last["max_tokens"] < first["max_tokens"]


def test_answers_that_broke_off_are_paid_for(policy: Policy) -> None:
    broken = Break(How.DROP, before="message_stop", answer=answer("A long text. " * 400))
    with CompactingStandIn() as api:
        api.queue(broken, answer("Done."))
        ended, conversation = converse(api, policy, usd=5)
        assert isinstance(ended, Finished)
        inputs = [sum(request.usage.values()) for request in api.requests]
        assert conversation.budget.used.all_input == sum(inputs)
        # Of the text that came, though its count did not.
        assert conversation.budget.used.output_tokens > 5200 // 4


def test_no_attempt_follows_that_is_not_paid_for_any_more(policy: Policy) -> None:
    broken = Break(How.DROP, before="message_stop", answer=answer("A long text. " * 4000))
    with CompactingStandIn() as api:
        api.queue(*[broken] * 8)
        ended, conversation = converse(api, policy, usd=0.7)
        assert isinstance(ended, LimitReached)
        assert ended.limit is RunLimit.USD
        assert conversation.budget.usd is not None
        assert conversation.budget.usd <= 0.7
        assert len(api.requests) < 8


def test_an_answer_that_the_service_did_not_count_is_paid_for_at_its_longest(
    policy: Policy,
) -> None:
    counted = budget(policy, 1.0)
    counted.expect(TokensNeeded(new=40_000))
    assert counted.answer_tokens(4000) == 4000
    counted.add(Usage(uncounted_replies=1))
    assert counted.usd == pytest.approx(0.5 + 0.2)


def test_without_a_price_nothing_is_said_of_dollars(conversation: FakeConversation) -> None:
    conversation.on(ToldModel(say("Done.", usage=Usage(input_tokens=5))))
    assert conversation.budget.usd is None
    assert conversation.budget.used == Usage(input_tokens=5)


def test_no_time_passes_in_a_wait_not_even_for_who_looks_at_it_from_outside() -> None:
    now = [10.0]
    watch = Stopwatch(before_s=5.0, clock=lambda: now[0])
    now[0] += 1
    with watch.stopped():
        now[0] += 100
        assert watch() == 6
        with watch.stopped():
            now[0] += 100
        assert watch() == 6
    now[0] += 1
    assert watch() == 7
