"""Whole runs through the openai SDK and its stand-in, which refuses what the API refuses."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.models.openai.client import OpenAIModel
from agent.record.outcome import Finished, LimitReached, Refused, RunLimit
from fakes.providers import AT_ONCE
from fakes.runs import FakeRun
from policies.policy import Policy
from standins.exchange.replies import Behaviour, Break, Call, How, Refuse, Thought, answer
from standins.openai.quirks import CALLS, Quirk
from standins.openai.server import StandInOpenAI

MULTIPLY = Call("edit_file", {"path": "calc.py", "old_string": "a + b", "new_string": "a * b"})


@pytest.fixture
def api() -> Iterator[StandInOpenAI]:
    with StandInOpenAI() as standin:
        yield standin


def opened(api: StandInOpenAI, name: str = "gpt-4o") -> OpenAIModel:
    return OpenAIModel.open(name, api_key=api.key, base_url=api.url, timing=AT_ONCE)


@pytest.fixture
def model(api: StandInOpenAI) -> Iterator[OpenAIModel]:
    made = opened(api)
    yield made
    made.close()


@pytest.fixture
def fake(tmp_path: Path, policy: Policy) -> FakeRun:
    files = {"calc.py": b"def multiply(a, b):\n    return a + b\n"}
    return FakeRun(home=tmp_path, policy=policy, files=files)


def test_a_run_with_parallel_calls_thinking_and_errors_is_one_the_api_takes(
    api: StandInOpenAI, model: OpenAIModel, fake: FakeRun
) -> None:
    api.queue(
        answer("Looking.", Call("list_dir"), Call("bash", {"command": "ls"})),
        answer(Call("bash", {"command": "curl x"}), Call("nope", {}), Call("bash", {"cmd": "ls"})),
        answer(Call("read_file", {"path": "gone"}), MULTIPLY),
        answer("Mended."),
    )
    summary = fake.go(model)
    assert summary.outcome == Finished(message="Mended.")
    assert [request.fault for request in api.requests] == [None] * 4
    assert summary.document.tokens.output_tokens > 0
    assert summary.delivery is not None
    assert b"+    return a * b" in summary.delivery.patch.data


@pytest.mark.parametrize("quirk", [*CALLS, Quirk.FUNCTION_CALL, Quirk.NO_USAGE, Quirk.NO_DONE])
def test_a_run_on_a_gateway_comes_to_the_same(fake: FakeRun, quirk: Quirk) -> None:
    with StandInOpenAI(quirk, Quirk.ANY_MODEL, Quirk.KEEPS_REASONING) as api:
        api.queue(
            answer(Thought("I look."), Call("read_file", {"path": "calc.py"})),
            answer(Thought("I mend."), MULTIPLY),
            answer("Mended."),
        )
        model = opened(api, "qwen3-coder:30b")
        summary = fake.go(model)
        model.close()
    assert summary.outcome == Finished(message="Mended.")
    assert [request.fault for request in api.requests] == [None] * 3
    assert summary.document.tokens.uncounted_replies == (3 if quirk is Quirk.NO_USAGE else 0)
    assert summary.delivery is not None
    assert b"+    return a * b" in summary.delivery.patch.data


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(answer(Call("bash", written='{"command": "ls'), stop="length"), id="torn"),
        pytest.param(answer("I was about to", stop="length"), id="cut words"),
        pytest.param(answer(), id="empty"),
        pytest.param(answer("   \n"), id="blank"),
        pytest.param(answer(stop="tool_calls"), id="calls without a call"),
        pytest.param(answer(Call("bash", written="[1, 2]")), id="no object"),
        pytest.param(answer(Call("bash", written="not json")), id="no JSON"),
    ],
)
def test_the_run_goes_on_after_an_odd_answer(
    api: StandInOpenAI, model: OpenAIModel, fake: FakeRun, odd: Behaviour
) -> None:
    api.queue(odd, answer(MULTIPLY), answer("Mended."))
    summary = fake.go(model)
    assert summary.outcome == Finished(message="Mended.")
    assert [request.fault for request in api.requests] == [None] * 3
    assert fake.box is not None
    assert not [what for what in fake.box.calls if what.startswith("run ")]


@pytest.mark.parametrize("before", ["usage", "done"])
def test_a_stream_that_breaks_after_its_end_makes_its_call_once(
    api: StandInOpenAI, model: OpenAIModel, fake: FakeRun, before: str
) -> None:
    doing = answer("I write.", Call("bash", {"command": "echo x >> log"}))
    api.queue(Break(How.DROP, before=before, answer=doing), answer("Done."))
    assert fake.go(model).outcome == Finished(message="Done.")
    assert fake.box is not None
    assert fake.box.calls.count("run echo x >> log") == 1


@pytest.mark.parametrize(
    "refused",
    [
        answer(stop_details={"refusal": "I can't help with that."}),
        answer("I can", stop="content_filter"),
    ],
)
def test_a_refusal_of_the_service_ends_the_run_with_1(
    api: StandInOpenAI, model: OpenAIModel, fake: FakeRun, refused: Behaviour
) -> None:
    api.queue(refused)
    summary = fake.go(model)
    assert isinstance(summary.outcome, Refused)
    assert summary.exit_code == 1


def test_a_full_window_ends_the_run_with_1_and_the_patch(
    api: StandInOpenAI, model: OpenAIModel, fake: FakeRun
) -> None:
    api.queue(answer(MULTIPLY), Refuse(400, code="context_length_exceeded"))
    summary = fake.go(model)
    assert isinstance(summary.outcome, LimitReached)
    assert summary.outcome.limit is RunLimit.CONTEXT
    assert summary.delivery is not None
    assert summary.delivery.patch.changes


def test_the_prefix_of_every_request_is_the_request_before(
    api: StandInOpenAI, model: OpenAIModel, fake: FakeRun
) -> None:
    looking = [answer(Call("bash", {"command": f"echo {number}"})) for number in range(30)]
    api.queue(*looking, answer("Done."))
    used = fake.go(model).document.tokens
    assert used.cache_read_tokens / (used.input_tokens + used.cache_read_tokens) > 0.8
