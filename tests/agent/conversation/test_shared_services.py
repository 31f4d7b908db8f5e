"""Runs that share a budget and a rate, on each provider through the real SDKs."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from random import Random

import pytest

from agent.batch.thread_interrupts import ThreadInterrupts
from agent.conversation.budget import Stopwatch
from agent.conversation.run_share import RunShare
from agent.conversation.shared_budget import BatchUsed, SharedBudget
from agent.interrupts import Interrupts
from agent.models.anthropic.client import AnthropicModel
from agent.models.interface import Model
from agent.models.pricing import ModelInfo, Prices, Rates
from agent.models.rate_limit import RateLimiter, RateWindow
from agent.record.events.conversation import HistorySummarised, ModelRetry, ReplyDiscarded
from agent.record.events.kinds import TextPiece
from agent.record.outcome import (
    Conversation,
    Finished,
    Interrupted,
    LimitReached,
    ModelFailed,
    RunLimit,
)
from fakes.box import TmpBox
from fakes.conversation import FakeConversation, with_budget
from fakes.long import files, turns
from fakes.services import SERVICES, ProviderService
from fakes.virtual_time import VirtualRate, VirtualTime
from policies.policy import Policy
from standins.anthropic.compacting import CompactingStandIn
from standins.exchange.lying import ones, retold
from standins.exchange.replies import Behaviour, Break, Call, How, Refuse, answer

PRICED = ModelInfo(
    prices=Prices(usual=Rates(input=10, output=50, cache_write=12.5, cache_read=1)),
    context_tokens=200_000,
)


class Service:
    """One provider's stand-in, and models on it."""

    def __init__(self, of: ProviderService, stack: ExitStack) -> None:
        self._stack = stack
        self._of = of
        self.provider = of.provider
        self.api = stack.enter_context(of.stand_in())

    def model(self) -> Model:
        model = self._of.open(self.api)
        self._stack.callback(model.close)
        return model

    @property
    def last_event(self) -> str:
        """Kind of the event without which an answer is not whole."""
        return self._of.kinds[-1]


@pytest.fixture(params=SERVICES, ids=lambda service: service.provider)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with ExitStack() as stack:
        yield Service(request.param, stack)


@pytest.fixture
def run(policy: Policy) -> Iterator[Callable[..., FakeConversation]]:
    boxes: list[TmpBox] = []

    def made(
        share: RunShare, interrupts: Interrupts, *, turns: int = 100, max_tokens: int = 16_000
    ) -> FakeConversation:
        boxes.append(TmpBox(files={}))
        allowed = with_budget(policy, turns=turns, input_tokens=10**9, output_tokens=10**8)
        return FakeConversation(
            box=boxes[-1],
            policy=allowed,
            facts=PRICED,
            share=share,
            interrupts=interrupts,
            max_tokens=max_tokens,
        )

    yield made
    for box in boxes:
        box.close()


class VirtualShare(RunShare):
    """One that waits in virtual time."""

    def __init__(self, interrupts: Interrupts, window: RateWindow, **fields: SharedBudget) -> None:
        self.time = VirtualTime()
        super().__init__(
            interrupts=interrupts, rate=VirtualRate(self.time, window), budget=fields.get("budget")
        )

    def sleep(self, seconds: float) -> None:
        self.time.sleep(seconds)


@pytest.fixture
def interrupts() -> Interrupts:
    return Interrupts()


@pytest.fixture
def window() -> RateWindow:
    return RateWindow(random=Random(1).random)


# -- the rate -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Refuse(429), id="429"),
        pytest.param(Refuse(529), id="529"),
        pytest.param(Refuse(503), id="503"),
        pytest.param(
            Break(How.ERROR, before="the end", error="overloaded_error"), id="in a stream"
        ),
    ],
)
def test_an_overload_in_any_form_lowers_the_rate_of_all(
    service: Service,
    run: Callable[..., FakeConversation],
    interrupts: Interrupts,
    window: RateWindow,
    behaviour: Behaviour,
) -> None:
    if isinstance(behaviour, Break):
        behaviour = Break(
            How.ERROR, before=service.last_event, error=behaviour.error, answer=answer("Torn.")
        )
    service.api.queue(behaviour, answer("Done."))
    before = window.at_once
    one = run(VirtualShare(interrupts, window), interrupts)
    assert one.on(service.model()) == Finished(message="Done.")
    assert window.at_once < before
    assert window.in_flight == {}


@pytest.mark.parametrize("behaviour", [Refuse(500), Refuse(502), Refuse(400), Refuse(401)])
def test_a_failure_that_says_nothing_of_the_rate_leaves_it_as_it_is(
    service: Service,
    run: Callable[..., FakeConversation],
    interrupts: Interrupts,
    window: RateWindow,
    behaviour: Refuse,
) -> None:
    service.api.queue(behaviour, answer("Done."))
    before = window.at_once
    run(VirtualShare(interrupts, window), interrupts).on(service.model())
    assert window.at_once >= before
    assert window.in_flight == {}


def test_what_the_service_asks_to_wait_is_kept_and_is_no_time_of_the_run(
    service: Service,
    run: Callable[..., FakeConversation],
    interrupts: Interrupts,
    window: RateWindow,
) -> None:
    service.api.queue(Refuse(429, {"retry-after": "1200"}), answer("Done."))
    share = VirtualShare(interrupts, window)
    watch = Stopwatch(clock=share.time)
    share.stop_in_waits(watch)
    one = run(share, interrupts)
    assert one.on(service.model()) == Finished(message="Done.")
    assert share.time() >= 1200
    assert watch() == 0
    (told,) = [event.wait_s for event in one.log if isinstance(event, ModelRetry)]
    assert told >= 1200


def test_more_refusals_than_one_run_has_attempts_end_none_in_a_batch(
    service: Service,
    run: Callable[..., FakeConversation],
    interrupts: Interrupts,
    window: RateWindow,
) -> None:
    service.api.queue(*[Refuse(429)] * 20, answer("Done."))
    one = run(VirtualShare(interrupts, window), interrupts)
    assert one.on(service.model()) == Finished(message="Done.")


def test_a_run_that_is_told_to_stop_does_not_wait_for_the_rate(
    service: Service, run: Callable[..., FakeConversation], window: RateWindow
) -> None:
    service.api.queue(Refuse(429, {"retry-after": "1200"}), answer("Never asked for."))
    interrupts = ThreadInterrupts()
    share = VirtualShare(interrupts, window)
    one = run(share, interrupts)

    def stop(event: object) -> None:
        if isinstance(event, ModelRetry):
            interrupts.receive("SIGINT")

    one.also = stop
    assert one.on(service.model()) == Interrupted(signal="SIGINT")
    assert share.time() < 1200
    assert len(service.api.requests) == 1
    assert window.in_flight == {}


def test_sixteen_runs_at_once_lose_nothing_while_the_service_refuses_all(
    service: Service, run: Callable[..., FakeConversation]
) -> None:
    """In threads and real time: the service takes nobody's request for a second."""
    until: list[float] = []

    def refusing() -> Behaviour | None:
        until.append(time.monotonic() + 1.0)
        return Refuse(429) if time.monotonic() < until[0] else None

    service.api.instead = refusing
    service.api.queue(*[answer("Done.") for _ in range(16)])
    limiter = RateLimiter(RateWindow(first=16, first_pause_s=0.05, longest_pause_s=0.4))
    budget = SharedBudget(usd=100.0)
    ended: list[Conversation] = []
    runs: list[FakeConversation] = []

    def work() -> None:
        interrupts = Interrupts()
        share = RunShare(interrupts=interrupts, budget=budget, rate=limiter)
        runs.append(run(share, interrupts))
        ended.append(runs[-1].on(service.model()))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert ended == [Finished(message="Done.")] * 16
    # Those that were made together, and then one at a time, in 0.05 to 0.2 s or more.
    refused = len(service.api.requests) - 16
    assert 0 < refused <= 16 + 3 + 5
    assert limiter._window.in_flight == {}
    assert budget.spent.usd == pytest.approx(sum(one.budget.usd or 0 for one in runs))


@pytest.mark.slow
def test_runs_that_wait_for_money_and_for_the_rate_at_once_never_wait_for_each_other(
    service: Service, run: Callable[..., FakeConversation]
) -> None:
    """One request at a time, money for two, and every other answer breaks off and is billed."""
    number = itertools.count()

    def torn() -> Behaviour | None:
        if next(number) % 2:
            return None
        return Break(How.DROP, before=service.last_event, answer=answer("Torn. " * 20))

    service.api.instead = torn
    service.api.queue(*[answer("Done.") for _ in range(12)])
    limiter = RateLimiter(RateWindow(first=1, most=1, first_pause_s=0.01, longest_pause_s=0.05))
    budget = SharedBudget(usd=2.0)
    ended: list[Conversation] = []

    def work() -> None:
        interrupts = Interrupts()
        one = run(RunShare(interrupts=interrupts, budget=budget, rate=limiter), interrupts)
        ended.append(one.on(service.model()))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    # A service that does not say what a torn answer used has used up the money before the end.
    how = {"limit: the batch's dollars" if isinstance(end, LimitReached) else end for end in ended}
    assert len(ended) == 12
    assert Finished(message="Done.") in how
    assert len(how) == 1 or (service.provider != "anthropic" and len(how) == 2)
    assert budget.reserved == BatchUsed()
    assert 0 < budget.spent.usd <= 2.0


# -- money ----------------------------------------------------------------------------------------


def test_everything_that_is_billed_counts_for_the_batch_too(
    service: Service,
    run: Callable[..., FakeConversation],
    interrupts: Interrupts,
    window: RateWindow,
) -> None:
    broken = Break(How.DROP, before=service.last_event, answer=answer("A long text. " * 400))
    service.api.queue(
        broken,
        answer(Call("bash", {"command": "true"})),
        Refuse(429),
        broken,
        answer("Done."),
    )
    budget = SharedBudget(usd=5.0, tokens=10**6)
    one = run(VirtualShare(interrupts, window, budget=budget), interrupts)
    assert one.on(service.model()) == Finished(message="Done.")
    assert budget.spent.usd == pytest.approx(one.budget.usd)
    used = one.budget.used
    assert budget.spent.tokens == used.all_input + used.output_tokens
    assert budget.reserved == BatchUsed()
    assert len([event for event in one.log if isinstance(event, ReplyDiscarded)]) == 2


def test_an_answer_that_breaks_again_and_again_never_passes_the_batchs_budget(
    service: Service,
    run: Callable[..., FakeConversation],
    interrupts: Interrupts,
    window: RateWindow,
) -> None:
    broken = Break(How.DROP, before=service.last_event, answer=answer("A long text. " * 4000))
    service.api.queue(*[broken] * 40)
    budget = SharedBudget(usd=2.0)
    one = run(VirtualShare(interrupts, window, budget=budget), interrupts)
    ended = one.on(service.model())
    assert isinstance(ended, LimitReached)
    assert ended.limit is RunLimit.BATCH_USD
    assert 0.5 < budget.spent.usd <= 2.0
    assert budget.reserved == BatchUsed()


@pytest.mark.parametrize("lie", [None, [1, 2], "much", -1, float("nan")], ids=repr)
def test_a_service_that_tells_no_use_is_never_granted_more_than_the_budget(
    service: Service, run: Callable[..., FakeConversation], lie: object
) -> None:
    """By many runs at once, each of which would go on for ever."""
    number = itertools.count()
    numbers = isinstance(lie, int | float)
    retold(service.api, lambda counts, _: dict.fromkeys(counts, lie) if numbers else lie)
    service.api.instead = lambda: answer(Call("bash", {"command": f"echo {next(number)}"}))
    assert 0 < granted_by_sixteen(service, run, SharedBudget(usd=4.0)) * 50 / 1_000_000 <= 4.0


def test_a_service_that_counts_every_other_answer_gets_no_more_than_the_budget(
    service: Service, run: Callable[..., FakeConversation]
) -> None:
    """Its true counts, of answers as long as they may be, and those in which each is one token."""
    number = itertools.count()
    retold(service.api, lambda counts, number: ones(counts) if number % 2 else counts)
    service.api.instead = lambda: answer(
        "word " * 1500, Call("bash", {"command": f"echo {next(number)}"})
    )
    budget = SharedBudget(usd=4.0)
    longest = 2000
    granted = granted_by_sixteen(service, run, budget, max_tokens=longest)
    assert 1.0 < granted * 50 / 1_000_000 <= 4.0
    # What it says of its input may be a little more than what was set aside for that.
    assert budget.spent.usd <= 4.0 + longest * 50 / 1_000_000


def granted_by_sixteen(
    service: Service, run: Callable[..., FakeConversation], budget: SharedBudget, **more: int
) -> int:
    """Tokens of answers that as many runs allow the service at once until the budget ends them."""
    ended: list[Conversation] = []
    limiter = RateLimiter(RateWindow(first=16, most=16, first_pause_s=0.01, longest_pause_s=0.05))

    def work() -> None:
        interrupts = Interrupts()
        share = RunShare(interrupts=interrupts, budget=budget, rate=limiter)
        ended.append(run(share, interrupts, **more).on(service.model()))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [type(end) for end in ended] == [LimitReached] * 16
    bodies = [request.body for request in service.api.requests]
    names = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    return sum(body.get(name, 0) for body in bodies for name in names)


def test_an_answer_that_a_signal_breaks_off_is_paid_for_and_recorded(
    service: Service,
    run: Callable[..., FakeConversation],
    interrupts: Interrupts,
    window: RateWindow,
) -> None:
    service.api.queue(Break(How.HANG, before=service.last_event, answer=answer("It begins. " * 99)))
    budget = SharedBudget(usd=5.0)
    one = run(VirtualShare(interrupts, window, budget=budget), interrupts)

    def stop(event: object) -> None:
        if isinstance(event, TextPiece):
            interrupts.receive("SIGTERM")

    one.also = stop
    assert one.on(service.model()) == Interrupted(signal="SIGTERM")
    (told,) = [event for event in one.log if isinstance(event, ReplyDiscarded)]
    assert told.usage.uncounted_replies == 1
    # As if it had been as long as it was allowed to be.
    assert told.usd is not None
    assert budget.spent.usd == pytest.approx(told.usd)
    assert told.usd > 16_000 * 50 / 1_000_000
    assert budget.reserved == BatchUsed()
    assert window.in_flight == {}


def test_a_call_that_fails_for_good_gives_its_money_back(
    service: Service,
    run: Callable[..., FakeConversation],
    interrupts: Interrupts,
    window: RateWindow,
) -> None:
    service.api.queue(Refuse(401))
    budget = SharedBudget(usd=5.0)
    one = run(VirtualShare(interrupts, window, budget=budget), interrupts)
    assert isinstance(one.on(service.model()), ModelFailed)
    assert budget.spent.usd == 0
    assert budget.reserved == BatchUsed()


def test_a_summary_is_paid_for_by_the_batch_too(policy: Policy, interrupts: Interrupts) -> None:
    queued = turns(30)
    budget = SharedBudget(usd=50.0)
    with CompactingStandIn(window=30_000) as api:
        api.queue(*queued)
        model = AnthropicModel.open("claude-opus-5-5", api_key=api.key, base_url=api.url)
        facts = ModelInfo(prices=PRICED.prices, context_tokens=api.window, compaction=True)
        box = TmpBox(files=files(queued))
        one = FakeConversation(
            box=box,
            policy=with_budget(policy, turns=1000, input_tokens=10**9, output_tokens=10**8),
            facts=facts,
            share=RunShare(interrupts=interrupts, budget=budget, rate=RateLimiter()),
            interrupts=interrupts,
            max_tokens=4000,
        )
        try:
            one.on(model)
        finally:
            box.close()
            model.close()
    assert [event for event in one.log if isinstance(event, HistorySummarised)]
    assert budget.spent.usd == pytest.approx(one.budget.usd)
    assert budget.reserved == BatchUsed()
