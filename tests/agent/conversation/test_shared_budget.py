"""The runs of a batch have one budget together, and what is under way counts before it is known."""

import pickle
import threading
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.conversation.budget import LEAST_ANSWER_TOKENS, BudgetReached
from agent.conversation.run_share import RunShare
from agent.conversation.shared_budget import (
    COMFORTABLE_ANSWER_TOKENS,
    BatchAllowance,
    BatchUsed,
    BudgetLedger,
    Reservation,
    SharedBudget,
    used_by,
)
from agent.interrupts import Interrupts
from agent.models.interface import CallCost, Reply, Request, Usage
from agent.models.pricing import ModelInfo, Prices, Rates
from agent.models.rate_limit import RequestEnd, ServiceHealth
from agent.record.outcome import Finished, Interrupted, LimitReached, RunLimit, name
from agent.record.run_state import BudgetSpent
from fakes.box import TmpBox
from fakes.conversation import FakeConversation, with_budget
from fakes.model import ToldModel, call, say
from policies.policy import Policy

MILLION = 1_000_000
FLAT = ModelInfo(
    prices=Prices(usual=Rates(input=10, output=10, cache_write=10, cache_read=10)),
    context_tokens=1_000_000,
)


def cost(
    input_tokens: int = 0, answer: int = 1000, *, usd_per_million: float | None = 10.0
) -> CallCost:
    rate = None if usd_per_million is None else usd_per_million / MILLION
    return CallCost(
        input_tokens=input_tokens,
        input_usd=None if rate is None else input_tokens * rate,
        answer_tokens=answer,
        least_answer_tokens=min(answer, LEAST_ANSWER_TOKENS),
        usd_per_answer_token=rate,
    )


def never() -> bool:
    return False


# -- the ledger -----------------------------------------------------------------------------------

COSTS = st.builds(
    cost,
    st.integers(0, 200_000),
    st.integers(1, 32_000),
    usd_per_million=st.sampled_from([0.0, 0.1, 3.0, 75.0]),
)


class LedgerMachine(RuleBasedStateMachine):
    """Calls that cost at most what was set aside for them."""

    @initialize(
        usd=st.none() | st.floats(0, 5),
        tokens=st.none() | st.integers(0, 500_000),
        used=st.floats(0, 1),
    )
    def begin(self, usd: float | None, tokens: int | None, used: float) -> None:
        self.allowed = BatchAllowance(usd=usd, tokens=tokens)
        before = BatchUsed(usd=(usd or 0) * used, tokens=int((tokens or 0) * used))
        self.ledger = BudgetLedger(self.allowed, before)
        self.under_way: list[Reservation] = []

    @rule(wanted=COSTS)
    def ask(self, wanted: CallCost) -> None:
        answer = self.ledger.ask(wanted)
        spent = self.ledger.spent
        match answer:
            case Reservation():
                assert wanted.least_answer_tokens <= answer.answer_tokens <= wanted.answer_tokens
                self.under_way.append(answer)
            case LimitReached():
                # Whatever comes back of what is set aside, it would not do.
                rate = wanted.usd_per_answer_token or 0.0
                least = wanted.least_answer_tokens
                usd = spent.usd + (wanted.input_usd or 0.0) + least * rate
                tokens = spent.tokens + wanted.input_tokens + least
                too_dear = self.allowed.usd is not None and usd > self.allowed.usd - 1e-9
                too_long = self.allowed.tokens is not None and tokens > self.allowed.tokens
                assert (answer.limit is RunLimit.BATCH_USD and too_dear) or (
                    answer.limit is RunLimit.BATCH_TOKENS and too_long
                )
            case None:
                assert self.under_way, "it waits, and nothing can ever wake it"

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 1000), share=st.floats(0, 1))
    def settle(self, which: int, share: float) -> None:
        call_ = self.under_way.pop(which % len(self.under_way))
        self.ledger.settle(call_.number, call_.usd * share, int(call_.tokens * share))
        # A second time it counts nothing.
        self.ledger.settle(call_.number, call_.usd, call_.tokens)

    @invariant()
    def what_is_spent_and_what_is_set_aside_never_pass_the_budget(self) -> None:
        if not hasattr(self, "ledger"):
            return
        spent, reserved = self.ledger.spent, self.ledger.reserved
        if self.allowed.usd is not None:
            assert spent.usd + reserved.usd <= self.allowed.usd * (1 + 1e-12) + 1e-12
        if self.allowed.tokens is not None:
            assert spent.tokens + reserved.tokens <= self.allowed.tokens
        assert len(self.under_way) or reserved == BatchUsed()


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(deadline=None, max_examples=150, stateful_step_count=40)


def ledger(usd: float) -> BudgetLedger:
    return BudgetLedger(BatchAllowance(usd=usd), BatchUsed())


def test_an_answer_is_no_longer_than_what_is_left_pays_for() -> None:
    made = ledger(0.2).ask(cost(10_000, 32_000))
    assert isinstance(made, Reservation)
    assert made.answer_tokens == pytest.approx(10_000, abs=1)
    assert made.usd <= 0.2


def test_a_call_waits_for_those_under_way_sooner_than_it_is_cut_short() -> None:
    shared = ledger(0.2)
    first = shared.ask(cost(0, 18_000))
    assert isinstance(first, Reservation)
    assert shared.ask(cost(0, COMFORTABLE_ANSWER_TOKENS)) is None
    shared.settle(first.number, 0.01, 1000)
    assert isinstance(shared.ask(cost(0, COMFORTABLE_ANSWER_TOKENS)), Reservation)


def test_a_call_that_can_never_be_paid_for_does_not_wait_for_those_under_way() -> None:
    shared = ledger(0.2)
    assert isinstance(shared.ask(cost(0, 10_000)), Reservation)
    refused = shared.ask(cost(30_000))
    assert isinstance(refused, LimitReached)
    assert refused.limit is RunLimit.BATCH_USD
    assert "the batch's budget of $0.2" in refused.detail


def test_a_model_without_a_price_is_not_asked_on_a_budget_in_dollars() -> None:
    refused = ledger(1000).ask(cost(1, usd_per_million=None))
    assert isinstance(refused, LimitReached)
    assert "price is not known" in refused.detail


def test_a_service_that_bills_more_than_it_could_is_paid_and_ends_the_batch() -> None:
    shared = ledger(0.2)
    made = shared.ask(cost(0, 1000))
    assert isinstance(made, Reservation)
    shared.settle(made.number, 0.3, 30_000)
    assert shared.spent.usd == 0.3
    assert isinstance(shared.ask(cost(0, 1)), LimitReached)


# -- threads --------------------------------------------------------------------------------------


def test_threads_never_pass_it_and_none_is_told_that_it_is_over_before_it_is() -> None:
    shared = SharedBudget(usd=1.0)
    passed: list[float] = []
    ended: list[LimitReached] = []

    def work() -> None:
        while True:
            made = shared.reserve(cost(10_000, 10_000), never)
            if isinstance(made, LimitReached):
                ended.append(made)
                return
            assert made is not None
            passed.append(shared.spent.usd + shared.reserved.usd)
            shared.settle(made.number, made.usd / 20, made.tokens // 20)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(ended) == 16
    # The next call needs $0.1 for its input, and as good as nothing for its shortest answer.
    assert 1.0 - 0.1 - 0.01 < shared.spent.usd <= 1.0
    assert shared.reserved == BatchUsed()


def test_a_wait_for_others_ends_when_it_is_broken_off_and_leaves_nothing_behind() -> None:
    shared = SharedBudget(usd=0.2)
    held = shared.reserve(cost(0, 20_000), never)
    assert isinstance(held, Reservation)
    stop, waits = threading.Event(), threading.Event()
    got: list[Reservation | LimitReached | None] = []

    def told() -> bool:
        waits.set()
        return stop.is_set()

    thread = threading.Thread(target=lambda: got.append(shared.reserve(cost(), told)), daemon=True)
    thread.start()
    assert waits.wait(30)
    stop.set()
    shared.wake()
    thread.join(30)
    assert got == [None]
    shared.settle(held.number, 0.0, 0)
    assert isinstance(shared.reserve(cost(), never), Reservation)


def test_the_time_of_a_batch_goes_on_over_its_processes() -> None:
    now = [100.0]
    shared = SharedBudget(seconds=60, used=BatchUsed(seconds=50), clock=lambda: now[0])
    assert isinstance(shared.reserve(cost(), never), Reservation)
    now[0] += 10
    over = shared.reserve(cost(), never)
    assert isinstance(over, LimitReached)
    assert over.limit is RunLimit.BATCH_TIME
    assert shared.spent.seconds == 60


def test_what_runs_have_used_by_their_records_is_where_a_batch_goes_on() -> None:
    one = BudgetSpent(used=Usage(input_tokens=5, cache_read_tokens=2, output_tokens=1), usd=0.25)
    free = BudgetSpent(used=Usage(output_tokens=4))
    assert used_by([one, free]) == BatchUsed(usd=0.25, tokens=12)


# -- runs -----------------------------------------------------------------------------------------


@pytest.fixture
def run(box: TmpBox, policy: Policy) -> Callable[..., FakeConversation]:
    def made(shared: SharedBudget, *, facts: ModelInfo = FLAT) -> FakeConversation:
        interrupts = Interrupts()
        share = RunShare(interrupts=interrupts, budget=shared)
        allowed = with_budget(policy, turns=1000, output_tokens=10**9, input_tokens=10**9)
        return FakeConversation(
            box=box,
            policy=allowed,
            facts=facts,
            interrupts=interrupts,
            share=share,
            max_tokens=32_000,
        )

    return made


def test_runs_one_after_the_other_use_one_budget_and_end_by_its_name(
    run: Callable[..., FakeConversation],
) -> None:
    shared = SharedBudget(usd=1.0)
    asked: list[int] = []

    def greedy(request: Request) -> Reply:
        asked.append(request.max_tokens)
        return call("bash", command="true")

    def billed(request: Request) -> Reply:
        reply = greedy(request)
        usage = Usage(input_tokens=100, output_tokens=request.max_tokens)
        return Reply(message=reply.message, stop=reply.stop, usage=usage)

    first = run(shared)
    assert first.on(ToldModel(billed, billed, say("Done."))) == Finished(message="Done.")
    assert shared.spent.usd == pytest.approx(first.budget.usd)
    second = run(shared)
    ended = second.on(ToldModel(*[billed] * 9))
    assert isinstance(ended, LimitReached)
    assert name(ended) == "limit: the batch's dollars"
    assert shared.spent.usd == pytest.approx((first.budget.usd or 0) + (second.budget.usd or 0))
    assert 0.9 < shared.spent.usd <= 1.0
    assert asked[-1] < asked[0] == 32_000
    assert shared.reserved == BatchUsed()


def test_a_run_that_waits_for_another_ones_money_stops_at_a_signal(
    run: Callable[..., FakeConversation],
) -> None:
    shared = SharedBudget(usd=0.5)
    held = shared.reserve(cost(0, 49_000), never)
    assert isinstance(held, Reservation)
    one = run(shared)
    model = ToldModel(say("Never asked."))
    one.interrupts.receive("SIGINT")
    assert one.on(model) == Interrupted(signal="SIGINT")
    assert model.requests == []


def test_a_batch_without_time_asks_nobody(run: Callable[..., FakeConversation]) -> None:
    model = ToldModel(say("Never asked."))
    ended = run(SharedBudget(seconds=10, used=BatchUsed(seconds=10))).on(model)
    assert isinstance(ended, LimitReached)
    assert ended.limit is RunLimit.BATCH_TIME
    assert model.requests == []


def test_when_the_batchs_time_is_over_no_further_call_of_a_turn_is_made(
    run: Callable[..., FakeConversation],
) -> None:
    now_s = 0.0

    def late(_: Request) -> Reply:
        nonlocal now_s
        now_s = 11.0
        return call("write_file", path="late.txt", content="late")

    one = run(SharedBudget(seconds=10, clock=lambda: now_s))
    ended = one.on(ToldModel(late, say("Never asked.")))
    assert isinstance(ended, LimitReached)
    assert ended.limit is RunLimit.BATCH_TIME
    assert not (one.box.workspace / "late.txt").exists()


def test_a_command_gets_no_more_time_than_the_batch_has(
    run: Callable[..., FakeConversation],
) -> None:
    one = run(SharedBudget(seconds=10, used=BatchUsed(seconds=7), clock=lambda: 0.0))
    one.on(ToldModel(say("Nothing.")))
    assert one.budget.left_s == 3


def test_without_a_price_a_budget_of_tokens_is_kept_all_the_same(
    run: Callable[..., FakeConversation],
) -> None:
    shared = SharedBudget(tokens=50_000)

    def billed(request: Request) -> Reply:
        usage = Usage(input_tokens=100, output_tokens=request.max_tokens)
        reply = call("bash", command="true")
        return Reply(message=reply.message, stop=reply.stop, usage=usage)

    ended = run(shared, facts=ModelInfo(context_tokens=1_000_000)).on(ToldModel(*[billed] * 9))
    assert isinstance(ended, LimitReached)
    assert ended.limit is RunLimit.BATCH_TOKENS
    assert 40_000 < shared.spent.tokens <= 50_000


def test_every_limit_of_the_batch_says_that_it_is_no_runs_own() -> None:
    assert [limit for limit in RunLimit if limit.of_batch] == [
        RunLimit.BATCH_USD,
        RunLimit.BATCH_TOKENS,
        RunLimit.BATCH_TIME,
    ]


# -- other processes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        cost(),
        Reservation(number=1, answer_tokens=2, usd=0.5, tokens=3),
        LimitReached(limit=RunLimit.BATCH_USD, detail="spent"),
        BatchAllowance(usd=1.0),
        BatchUsed(usd=1.0, tokens=2, seconds=3.0),
        ServiceHealth(succeeded=1, failing_s=2.0, closed_s=3.0),
        RequestEnd.SLOWED,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_asked_and_answered_crosses_processes(value: object) -> None:
    assert pickle.loads(pickle.dumps(value)) == value


def test_the_reason_for_an_end_crosses_processes() -> None:
    limit = LimitReached(limit=RunLimit.BATCH_TIME, detail="over")
    came = pickle.loads(pickle.dumps(BudgetReached(limit)))
    assert (type(came), came.limit) == (BudgetReached, limit)
