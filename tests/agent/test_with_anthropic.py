"""Whole runs through the real SDK and the stand-in, which refuses what the API refuses."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.conversation.resume_state import resume_state_of
from agent.conversation.system_prompt import system_prompt
from agent.models.anthropic.client import AnthropicModel
from agent.record.outcome import Finished, GaveUp, LimitReached, Refused, RunLimit
from fakes.box import TmpBox
from fakes.conversation import FakeConversation
from fakes.providers import AT_ONCE
from fakes.records import lines_from
from fakes.runs import FakeRun
from policies.policy import Policy
from standins.anthropic.server import StandIn
from standins.exchange.replies import Behaviour, Call, Found, Refuse, Search, Thought, answer

MULTIPLY = Call("edit_file", {"path": "calc.py", "old_string": "a + b", "new_string": "a * b"})


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)


@pytest.fixture
def api() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


@pytest.fixture
def model(api: StandIn) -> Iterator[AnthropicModel]:
    opened = AnthropicModel.open(
        "claude-opus-5-5", api_key=api.key, base_url=api.url, timing=AT_ONCE
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
    assert summary.document.tokens.output_tokens > 0
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
    assert summary.outcome.limit is RunLimit.CONTEXT
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
    used = summary.document.tokens
    everything = used.input_tokens + used.cache_read_tokens + used.cache_write_tokens
    assert used.cache_read_tokens / everything > 0.8


SEARCHING = ("web_search",)


def test_a_search_that_pauses_and_calls_of_ours_are_one_conversation(
    api: StandIn, model: AnthropicModel, fake: FakeRun
) -> None:
    fake.policy = replace(fake.policy, server_tools=SEARCHING)
    api.queue(
        answer(Thought("I look it up."), Search("how to multiply", None), stop="pause_turn"),
        *[answer(Found(), Search(f"again {n}", None), stop="pause_turn") for n in range(7)],
        answer(Found(), Thought("Now I know."), "It is a star.", MULTIPLY),
        answer(Search("done?"), "Mended."),
    )
    summary = fake.go(model)
    assert summary.outcome == Finished(message="Mended.")
    assert [request.fault for request in api.requests] == [None] * 10
    assert summary.document.tokens.web_searches == 1 + 7 + 1
    assert summary.document.json_object()["server_tools"] == ["web_search"]


def test_a_policy_that_lists_none_sends_none(
    api: StandIn, model: AnthropicModel, fake: FakeRun
) -> None:
    api.queue(answer("Done."))
    fake.go(model)
    assert all("input_schema" in tool for tool in api.requests[0].body["tools"])


def test_taken_up_again_in_a_pause_the_api_takes_what_is_said_then(
    api: StandIn, model: AnthropicModel, fake: FakeRun
) -> None:
    fake.policy = replace(fake.policy, server_tools=SEARCHING)
    api.queue(
        answer(Thought("Hm."), "I look.", Search("a", None), stop="pause_turn"),
        Refuse(400),
        answer("Mended."),
    )
    fake.go(model)
    rows = [json.loads(line) for line in fake.lines]
    at = next(n for n, row in enumerate(rows) if row["event"] == "model_replied")
    past = resume_state_of(lines_from(rows[: at + 1]))
    conversation = FakeConversation(box=TmpBox(), policy=fake.policy, past=past)
    loop = conversation.made(model, system=system_prompt(fake.policy, "/workspace"))
    assert loop.go_on("mend it", same_container=True) == Finished(message="Mended.")
    conversation.box.close()


def test_an_image_is_looked_at_between_thoughts(
    api: StandIn, model: AnthropicModel, tmp_path: Path, policy: Policy
) -> None:
    fake = FakeRun(home=tmp_path, policy=policy, files={"a.png": PNG})
    look = Call("read_file", {"path": "a.png"})
    api.queue(
        answer(Thought("A picture."), look), answer(Thought("Again."), look), answer("It is blue.")
    )
    summary = fake.go(model)
    assert summary.outcome == Finished(message="It is blue.")
    sent = api.requests[2].body["messages"][2]["content"][0]["content"]
    assert [block["type"] for block in sent] == ["text", "image"]
    events = (fake.record.directory / "events.jsonl").read_text()
    assert base64.b64encode(PNG).decode() not in events
    (kept,) = (fake.record.directory / "images").iterdir()
    assert kept.read_bytes() == PNG


def test_what_only_looks_like_an_image_costs_one_request_and_no_run(
    api: StandIn, model: AnthropicModel, tmp_path: Path, policy: Policy
) -> None:
    fake = FakeRun(home=tmp_path, policy=policy, files={"a.png": PNG[:33] + b"\0no image"})
    api.queue(
        answer(Thought("A picture."), Call("read_file", {"path": "a.png"})),
        Refuse(400, message="Could not process image"),
        answer(Thought("Broken."), Call("list_dir")),
        answer("It is broken."),
    )
    assert fake.go(model).outcome == Finished(message="It is broken.")
    assert len(api.requests) == 4


def test_context_files_go_before_the_task_and_the_api_takes_it(
    api: StandIn, model: AnthropicModel, tmp_path: Path, policy: Policy
) -> None:
    fake = FakeRun(home=tmp_path, policy=policy, files={"AGENTS.md": b"Use tabs.\n"})
    api.queue(answer(Thought("Tabs."), Call("list_dir")), answer("Done."))
    assert fake.go(model, task="paint it").outcome == Finished(message="Done.")
    context, task = api.requests[1].body["messages"][0]["content"]
    assert "Use tabs." in context["text"]
    assert task["text"] == "paint it"
