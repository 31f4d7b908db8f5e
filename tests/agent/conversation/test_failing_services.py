"""Whole conversations on a service that fails for good, or says nothing of what it uses: on each
provider, through the real SDKs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent.models.interface import Model
from agent.models.pricing import ModelInfo, Prices, Rates
from agent.models.service import RequestTiming
from agent.record.events.conversation import ModelRetry, ResultsCleared
from agent.record.events.kinds import TextDiscarded
from agent.record.events.lifecycle import Notice
from agent.record.outcome import Finished, LimitReached, ModelFailed, RunLimit
from fakes.box import TmpBox
from fakes.conversation import FakeConversation, with_budget
from fakes.long import files, turns
from fakes.runs import FakeRun
from fakes.services import SERVICES, ProviderService
from policies.policy import Policy
from standins.exchange.replies import Behaviour, Break, Call, How, Refuse, answer
from standins.exchange.server import Exchange
from standins.openai.quirks import Quirk
from standins.responses.quirks import ResponsesQuirk

PRICES = Prices(usual=Rates(input=1, output=10, cache_write=1, cache_read=1))


@dataclass(frozen=True, kw_only=True)
class On:
    """A service, a model on it, and the waits that it did not wait."""

    api: Exchange
    model: Model
    waits: list[float]
    in_a_call: tuple[str, ...] = ()
    """Kinds of events, of `DOING`, before which its call is not whole."""


@pytest.fixture(params=SERVICES, ids=lambda service: service.provider)
def on(request: pytest.FixtureRequest) -> Iterator[On]:
    service: ProviderService = request.param
    waits: list[float] = []
    with service.stand_in() as api:
        model = service.open(api, timing=RequestTiming(sleep=waits.append))
        yield On(api=api, model=model, waits=waits, in_a_call=service.before_call)
        model.close()


@pytest.fixture
def conversation(policy: Policy) -> Iterator[Callable[..., FakeConversation]]:
    boxes: list[TmpBox] = []

    def made(*queued: Behaviour, facts: ModelInfo | None = None, **budget: int) -> FakeConversation:
        boxes.append(TmpBox(files=files(queued)))
        allowed = {"turns": 100, "input_tokens": 10**9, "output_tokens": 10**8, **budget}
        known = facts or ModelInfo(context_tokens=30_000)
        return FakeConversation(box=boxes[-1], policy=with_budget(policy, **allowed), facts=known)

    yield made
    for box in boxes:
        box.close()


DOING = answer("I write.", Call("bash", {"command": "echo x >> log"}))
WRITE = answer(Call("write_file", {"path": "made.txt", "content": "by the agent"}))


@pytest.fixture
def fake(tmp_path: Path, policy: Policy) -> FakeRun:
    return FakeRun(home=tmp_path, policy=policy)


@pytest.mark.parametrize("how", [How.DROP, How.GARBAGE, How.MID_EVENT, How.END])
@pytest.mark.parametrize("place", range(2))
def test_a_stream_that_breaks_in_a_call_makes_it_once_and_never_torn(
    on: On, fake: FakeRun, how: How, place: int
) -> None:
    on.api.queue(Break(how, before=on.in_a_call[place], answer=DOING), DOING, answer("Done."))
    assert fake.go(on.model).outcome == Finished(message="Done.")
    assert fake.box is not None
    ran = [what for what in fake.box.calls if what.startswith("run ")]
    assert ran == ["run echo x >> log"]
    assert any(isinstance(event, TextDiscarded) for event in fake.log)


def test_an_overloaded_service_is_waited_for_and_the_wait_is_shown(on: On, fake: FakeRun) -> None:
    on.api.queue(Refuse(529), Refuse(503), Refuse(429, {"retry-after": "2"}), answer("Done."))
    assert fake.go(on.model).outcome == Finished(message="Done.")
    shown = [event.wait_s for event in fake.log if isinstance(event, ModelRetry)]
    assert shown == on.waits
    assert len(shown) == 3


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413])
def test_what_is_not_worth_another_try_ends_with_4_and_the_patch(
    on: On, fake: FakeRun, status: int
) -> None:
    on.api.queue(WRITE, Refuse(status))
    summary = fake.go(on.model)
    assert isinstance(summary.outcome, ModelFailed)
    assert "\n" not in summary.outcome.message
    assert summary.exit_code == 4
    assert summary.delivery is not None
    assert summary.delivery.patch.changes
    assert len(on.api.requests) == 2


TOO_LONG = [
    pytest.param(Refuse(400, message="prompt is too long: 9 tokens > 8 maximum"), id="words"),
    pytest.param(Refuse(413), id="413"),
]


@pytest.mark.parametrize("refusal", TOO_LONG)
def test_what_is_too_long_is_made_shorter_once_and_the_run_goes_on(
    on: On, conversation: Callable[..., FakeConversation], refusal: Refuse
) -> None:
    queued = [*turns(8)[:-1], refusal, answer("Done.")]
    on.api.queue(*queued)
    one = conversation(*queued, facts=ModelInfo(context_tokens=1_000_000))
    assert one.on(on.model) == Finished(message="Done.")
    assert [type(event) for event in one.log].count(ResultsCleared) == 1
    refused, taken = on.api.requests[-2:]
    assert len(str(taken.body)) < len(str(refused.body)) * 0.7


@pytest.mark.parametrize("refusal", TOO_LONG)
def test_a_service_to_which_all_is_too_long_ends_the_run_at_its_limit(
    on: On, conversation: Callable[..., FakeConversation], refusal: Refuse
) -> None:
    queued = [*turns(8)[:-1], *[refusal] * 20]
    on.api.queue(*queued)
    ended = conversation(*queued).on(on.model)
    assert isinstance(ended, LimitReached)
    assert ended.limit is RunLimit.CONTEXT
    assert len(on.api.requests) <= 11


def test_what_would_be_waited_for_past_the_runs_time_is_not_waited_for(
    on: On, conversation: Callable[..., FakeConversation]
) -> None:
    on.api.queue(Refuse(429, {"retry-after": "290"}), answer("Never asked for."))
    one = conversation()
    one.policy = replace(one.policy, limits=replace(one.policy.limits, time_s=280))
    ended = one.on(on.model)
    assert isinstance(ended, LimitReached)
    assert ended.limit is RunLimit.TIME
    assert "asked again in 29" in ended.detail
    assert (len(on.api.requests), on.waits) == (1, [])
    assert len([event for event in one.log if isinstance(event, ModelRetry)]) == 1


@pytest.mark.parametrize("how", [How.DROP, How.RESET, How.MID_EVENT])
def test_an_answer_that_breaks_again_and_again_ends_the_run_and_runs_nothing(
    on: On, conversation: Callable[..., FakeConversation], how: How
) -> None:
    on.api.queue(*[Break(how, before=on.in_a_call[1], answer=DOING)] * 8)
    one = conversation()
    assert isinstance(one.on(on.model), ModelFailed)
    assert one.box.calls == []


# -- a service that counts nothing ----------------------------------------------------------------


@pytest.fixture(params=SERVICES[1:], ids=lambda service: service.provider)
def uncounted(request: pytest.FixtureRequest) -> Iterator[On]:
    service: ProviderService = request.param
    quirk = Quirk.NO_USAGE if service.provider == "openai" else ResponsesQuirk.NO_USAGE
    with service.stand_in(quirk) as api:
        model = service.open(api)
        yield On(api=api, model=model, waits=[])
        model.close()


def test_its_output_is_estimated_and_the_budget_kept(
    uncounted: On, conversation: Callable[..., FakeConversation]
) -> None:
    say = [answer("A plan. " * 150, Call("bash", {"command": f"echo {n}"})) for n in range(50)]
    uncounted.api.queue(*say)
    ended = conversation(output_tokens=4000).on(uncounted.model)
    assert isinstance(ended, LimitReached)
    assert ended.limit is RunLimit.OUTPUT_TOKENS
    assert len(uncounted.api.requests) <= 12


def test_its_input_is_estimated_and_the_budget_kept(
    uncounted: On, conversation: Callable[..., FakeConversation]
) -> None:
    queued = turns(50)
    uncounted.api.queue(*queued)
    ended = conversation(*queued, input_tokens=50_000).on(uncounted.model)
    assert isinstance(ended, LimitReached)
    assert ended.limit is RunLimit.INPUT_TOKENS
    sent = sum(len(str(request.body)) for request in uncounted.api.requests)
    assert sent / 4 < 60_000


def test_its_answers_are_paid_for_at_their_longest(
    uncounted: On, conversation: Callable[..., FakeConversation]
) -> None:
    queued = turns(50)
    uncounted.api.queue(*queued)
    one = conversation(*queued, facts=ModelInfo(prices=PRICES, context_tokens=100_000))
    one.policy = with_budget(one.policy, usd=0.1)
    ended = one.on(uncounted.model)
    assert isinstance(ended, LimitReached)
    assert ended.limit is RunLimit.USD
    limits = ("max_tokens", "max_output_tokens")
    bodies = [request.body for request in uncounted.api.requests]
    longest = sum(body[limit] for body in bodies for limit in limits if limit in body)
    assert one.budget.usd is not None
    assert longest * 10 / 1_000_000 <= one.budget.usd <= 0.1


def test_the_person_is_told_once(
    uncounted: On, conversation: Callable[..., FakeConversation]
) -> None:
    queued = turns(4)
    uncounted.api.queue(*queued)
    one = conversation(*queued)
    assert isinstance(one.on(uncounted.model), Finished)
    (told,) = [event.text for event in one.log if isinstance(event, Notice)]
    assert "estimated" in told
    assert one.budget.used.uncounted_replies == 5


def test_who_counts_is_not_said_not_to(
    on: On, conversation: Callable[..., FakeConversation]
) -> None:
    on.api.queue(answer("Done."))
    one = conversation()
    one.on(on.model)
    assert not [event for event in one.log if isinstance(event, Notice)]
