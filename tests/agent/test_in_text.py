"""Whole runs of models that write their calls as text, on stand-ins that refuse as the APIs do."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.models.anthropic.client import AnthropicModel
from agent.models.interface import ToolForm
from agent.models.openai.chat import CHAT
from agent.models.openai.client import OpenAIModel
from agent.models.openai.responses.api import RESPONSES
from agent.models.pricing import ModelInfo
from agent.record.events.conversation import TextFormChosen
from agent.record.outcome import Finished
from agent.record.timeline import timeline
from agent.review.pages.report import write_reports
from fakes.atif import Trajectory
from fakes.providers import AT_ONCE
from fakes.runs import FakeRun
from policies.policy import Policy
from standins.anthropic.server import StandIn
from standins.exchange.replies import Call, Refuse, Thought, answer
from standins.exchange.server import Exchange
from standins.openai.quirks import Quirk
from standins.openai.server import StandInOpenAI
from standins.responses.quirks import ResponsesQuirk
from standins.responses.server import StandInResponses

READ = answer("I look.", Call("read_file", {"path": "calc.py"}))
MEND = answer(
    Thought("a + b is wrong."),
    "I mend it.",
    Call("edit_file", {"path": "calc.py", "old_string": "a + b", "new_string": "a * b"}),
)
DENIED = answer(Call("bash", {"command": "curl example.org"}))
DONE = answer("Mended.")


@pytest.fixture(params=["anthropic", "openai", "responses"])
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    """A stand-in whose model has no tool calls, and the model through the SDK."""
    standins: dict[str, Callable[[], Any]] = {
        "anthropic": StandIn,
        "openai": lambda: StandInOpenAI(Quirk.KEEPS_REASONING, Quirk.ANY_MODEL),
        "responses": lambda: StandInResponses(ResponsesQuirk.ANY_MODEL),
    }
    with standins[request.param]() as api:
        api.text_only = True
        at: dict[str, Any] = {"api_key": api.key, "base_url": api.url, "timing": AT_ONCE}
        model: Any
        match request.param:
            case "anthropic":
                model = AnthropicModel.open("claude-opus-5-5", **at)
            case "openai":
                model = OpenAIModel.open("qwen2.5-coder:1.5b", api=CHAT, **at)
            case _:
                model = OpenAIModel.open("qwen2.5-coder:1.5b", api=RESPONSES, **at)
        yield api, model
        model.close()


@pytest.fixture
def fake(tmp_path: Path, policy: Policy) -> FakeRun:
    files = {"calc.py": b"def multiply(a, b):\n    return a + b\n"}
    return FakeRun(home=tmp_path, policy=policy, files=files)


def chosen(fake: FakeRun) -> list[str]:
    return [event.why for event in fake.log if isinstance(event, TextFormChosen)]


def tools_offered(api: Exchange) -> list[bool]:
    assert [request.fault for request in api.requests if request.fault is not None] == []
    return [bool(request.body.get("tools")) for request in api.requests]


def test_a_run_in_text_is_one_the_api_takes(opened: tuple[Any, Any], fake: FakeRun) -> None:
    api, model = opened
    fake.facts = ModelInfo(tool_form=ToolForm.TEXT)
    api.queue(READ, DENIED, MEND, DONE)
    result = fake.go(model)
    assert result.outcome == Finished(message="Mended.")
    assert tools_offered(api) == [False] * 4
    assert chosen(fake) == ["configured"]
    assert result.document.tokens.output_tokens > 0
    assert result.delivery is not None
    assert b"+    return a * b" in result.delivery.patch.data


def test_a_run_learns_it_and_ends_as_any(opened: tuple[Any, Any], fake: FakeRun) -> None:
    api, model = opened
    api.queue(READ, READ, READ, MEND, DONE)
    result = fake.go(model)
    assert result.outcome == Finished(message="Mended.")
    assert tools_offered(api) == [True, True, False, False, False]
    assert chosen(fake) == ["learned"]
    assert result.delivery is not None
    assert b"+    return a * b" in result.delivery.patch.data


def test_a_service_without_tools_is_asked_in_text(fake: FakeRun) -> None:
    with StandInOpenAI(Quirk.ANY_MODEL) as api:
        api.text_only = True
        model = OpenAIModel.open(
            "gemma:2b", api=CHAT, api_key=api.key, base_url=api.url, timing=AT_ONCE
        )
        api.queue(Refuse(400, message="gemma:2b does not support tools"), READ, MEND, DONE)
        result = fake.go(model)
        model.close()
    assert result.outcome == Finished(message="Mended.")
    assert chosen(fake) == ["refused"]


def test_its_record_timeline_report_and_trajectory_hold_calls(
    opened: tuple[Any, Any], fake: FakeRun
) -> None:
    api, model = opened
    fake.facts = ModelInfo(tool_form=ToolForm.TEXT)
    api.queue(READ, DENIED, MEND, DONE)
    result = fake.go(model)
    log = fake.run.journal.log
    write_reports(fake.record, result, log)
    text = (fake.record.directory / "trajectory.json").read_text("ascii")
    Trajectory.model_validate_json(text)
    steps = json.loads(text)["steps"]
    called = [call for step in steps for call in step.get("tool_calls", ())]
    assert [call["function_name"] for call in called] == ["read_file", "bash", "edit_file"]
    assert called[2]["arguments"]["new_string"] == "a * b"
    assert [step["message"] for step in steps if step["source"] == "agent"] == [
        "I look.",
        "",
        "I mend it.",
        "Mended.",
    ]
    rows = list(timeline(log))
    assert [row.number for row in rows if row.number is not None] == [1, 2, 3]
    page = (fake.record.directory / "report.html").read_text()
    assert "edit calc.py" in page
    assert "```call-" not in page + text + "".join(row.title for row in rows)
