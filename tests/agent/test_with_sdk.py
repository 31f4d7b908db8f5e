"""Whole runs through the real SDK and the stand-in, which refuses what the API refuses."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.events import ModelRetry, TextVoid
from agent.models.anthropic import AnthropicModel
from agent.outcome import Finished, GaveUp, Limit, LimitReached, ModelFailed, Refused
from fakes.runs import FakeRun
from policies.policy import Policy
from standin import Behaviour, Break, Call, How, Refuse, StandIn, Thought, answer

MULTIPLY = Call("edit_file", {"path": "calc.py", "old_string": "a + b", "new_string": "a * b"})


@pytest.fixture
def api() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


@pytest.fixture
def model(api: StandIn) -> Iterator[AnthropicModel]:
    opened = AnthropicModel.open(
        "claude-opus-5-5", api_key=api.key, base_url=api.url, sleep=lambda _: None
    )
    yield opened
    opened.close()


@pytest.fixture
def fake(tmp_path: Path, policy: Policy) -> FakeRun:
    files = {"calc.py": b"def multiply(a, b):\n    return a + b\n"}
    return FakeRun(home=tmp_path, policy=policy, files=files)


def test_a_run_with_parallel_calls_thinking_and_errors_is_one_the_api_takes(
    api: StandIn, model: AnthropicModel, fake: FakeRun
) -> None:
    api.queue(
        answer(
            Thought("Let me see."), "Looking.", Call("list_dir"), Call("bash", {"command": "ls"})
        ),
        answer(Call("bash", {"command": "curl x"}), Call("nope", {}), Call("bash", {"cmd": "ls"})),
        answer(Call("read_file", {"path": "gone"}), MULTIPLY),
        answer("Mended."),
    )
    summary = fake.go(model)
    assert summary.outcome == Finished(message="Mended.")
    assert len(api.requests) == 4
    assert summary.used.output_tokens > 0
    assert summary.delivery is not None
    assert b"+    return a * b" in summary.delivery.patch.data


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(answer(Call("bash", written='{"command": "ls'), stop="max_tokens"), id="torn"),
        pytest.param(answer("I was about to", stop="max_tokens"), id="cut words"),
        pytest.param(answer(stop="end_turn"), id="empty"),
        pytest.param(answer("   \n", stop="end_turn"), id="blank"),
        pytest.param(answer("Searching.", stop="pause_turn"), id="paused"),
        pytest.param(answer(Call("bash", written="[1, 2]")), id="no object"),
        pytest.param(answer(Call("bash", written="not json")), id="no JSON"),
    ],
)
def test_the_run_goes_on_after_an_odd_answer(
    api: StandIn, model: AnthropicModel, fake: FakeRun, odd: Behaviour
) -> None:
    api.queue(odd, answer(MULTIPLY), answer("Mended."))
    summary = fake.go(model)
    assert summary.outcome == Finished(message="Mended.")
    assert fake.box is not None
    assert not [what for what in fake.box.calls if what.startswith("run ")]


@pytest.mark.parametrize("how", [How.DROP, How.GARBAGE, How.MID_EVENT])
def test_a_broken_stream_makes_no_call_twice(
    api: StandIn, model: AnthropicModel, fake: FakeRun, how: How
) -> None:
    doing = answer("I write.", Call("bash", {"command": "echo x >> log"}))
    api.queue(Break(how, before="message_delta", answer=doing), doing, answer("Done."))
    summary = fake.go(model)
    assert summary.outcome == Finished(message="Done.")
    assert fake.box is not None
    assert fake.box.calls.count("run echo x >> log") == 1
    assert any(isinstance(event, TextVoid) for event in fake.log)


def test_an_overloaded_service_is_waited_for_and_the_wait_is_shown(
    api: StandIn, model: AnthropicModel, fake: FakeRun
) -> None:
    api.queue(Refuse(529), Refuse(429, headers={"retry-after": "2"}), answer("Done."))
    assert fake.go(model).outcome == Finished(message="Done.")
    assert len([event for event in fake.log if isinstance(event, ModelRetry)]) == 2


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413])
def test_what_is_not_worth_another_try_ends_with_4_and_the_patch(
    api: StandIn, model: AnthropicModel, fake: FakeRun, status: int
) -> None:
    api.queue(answer(MULTIPLY), Refuse(status))
    summary = fake.go(model)
    assert isinstance(summary.outcome, ModelFailed)
    assert "\n" not in summary.outcome.message
    assert summary.exit_code == 4
    assert summary.delivery is not None
    assert summary.delivery.patch.changes
    assert len(api.requests) == 2


def test_a_refusal_of_the_service_ends_the_run_with_1(
    api: StandIn, model: AnthropicModel, fake: FakeRun
) -> None:
    api.queue(answer("I can't help with that.", stop="refusal"))
    summary = fake.go(model)
    assert isinstance(summary.outcome, Refused)
    assert summary.exit_code == 1


def test_a_full_window_ends_the_run_with_1(
    api: StandIn, model: AnthropicModel, fake: FakeRun
) -> None:
    api.queue(answer(MULTIPLY), answer("hm", stop="model_context_window_exceeded"))
    summary = fake.go(model)
    assert isinstance(summary.outcome, LimitReached)
    assert summary.outcome.limit is Limit.CONTEXT
    assert summary.delivery is not None
    assert summary.delivery.patch.changes


def test_a_service_that_answers_nothing_is_given_up(
    api: StandIn, model: AnthropicModel, fake: FakeRun
) -> None:
    api.queue(*[answer(stop="end_turn")] * 10)
    assert isinstance(fake.go(model).outcome, GaveUp)
    assert len(api.requests) == 5


def test_the_prefix_of_every_request_is_the_request_before(
    api: StandIn, model: AnthropicModel, fake: FakeRun
) -> None:
    looking = [answer(Call("bash", {"command": f"echo {number}"})) for number in range(12)]
    api.queue(*looking, answer("Done."))
    summary = fake.go(model)
    used = summary.used
    everything = used.input_tokens + used.cache_read_tokens + used.cache_write_tokens
    assert used.cache_read_tokens / everything > 0.8
