"""``trajectory.json``: the run in a form that others validate, complete and with sums that hold."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.models.interface import (
    AssistantMessage,
    Opaque,
    Reply,
    StopReason,
    Text,
    ToolUse,
    Usage,
)
from agent.models.pricing import ModelInfo, Prices, Rates
from agent.record.events.conversation import CallEnded, HistorySummarised, KeptImage, ReplyDiscarded
from agent.record.events.kinds import Recorded
from agent.record.events.lifecycle import Forked
from agent.record.events.recorded import Lossy
from agent.record.summary import RunResult
from agent.record.trajectory import recorded_times, trajectory
from agent.review.pages.report import write_reports
from fakes.atif import Trajectory
from fakes.model import Step, ToldModel, call, calls, say
from fakes.runs import FakeRun
from policies.policy import Policy

FACTS = ModelInfo(
    prices=Prices(usual=Rates(input=10, output=50, cache_write=12.5, cache_read=1)),
    context_tokens=200_000,
    source="a list",
)
USAGE = Usage(input_tokens=100, cache_read_tokens=900, cache_write_tokens=50, output_tokens=10)


@pytest.fixture
def fake(tmp_path: Path, policy: Policy) -> FakeRun:
    return FakeRun(home=tmp_path, policy=policy, files={"a.py": b"one\n"}, facts=FACTS)


def written(fake: FakeRun, result: RunResult, log: Sequence[Recorded] | None = None) -> Any:
    write_reports(fake.record, result, fake.run.journal.log if log is None else log)
    text = (fake.record.directory / "trajectory.json").read_text("ascii")
    Trajectory.model_validate_json(text)
    return json.loads(text)


def of(fake: FakeRun, *steps: Step, task: str = "mend it") -> Any:
    return written(fake, fake.go(ToldModel(*steps), task))


def test_steps_say_what_was_asked_called_given_and_answered(fake: FakeRun) -> None:
    document = of(
        fake,
        calls(("read_file", {"path": "a.py"}), ("bash", {"command": "exit 3"}), usage=USAGE),
        say("Done.", usage=USAGE),
    )
    asked, called, said = document["steps"]
    assert (asked["source"], asked["message"]) == ("user", "mend it")
    assert [each["function_name"] for each in called["tool_calls"]] == ["read_file", "bash"]
    assert called["tool_calls"][1]["arguments"] == {"command": "exit 3"}
    read, ran = called["observation"]["results"]
    assert [each["tool_call_id"] for each in called["tool_calls"]] == [
        read["source_call_id"],
        ran["source_call_id"],
    ]
    assert "one" in read["content"]
    assert ran["extra"]["exit_code"] == 3
    assert (said["source"], said["message"], said["extra"]["stop"]) == (
        "agent",
        "Done.",
        "end_turn",
    )
    assert document["agent"]["name"] == "moonpool"
    assert document["agent"]["model_name"] == "told:test"
    assert document["session_id"] == fake.record.run_id


def test_metrics_count_cached_tokens_and_dollars_and_add_up_to_the_totals(fake: FakeRun) -> None:
    document = of(fake, call("bash", command="true"), say("x", usage=USAGE), say("y"))
    *_, last = document["steps"]
    assert last["metrics"] == {
        "prompt_tokens": 1050,
        "completion_tokens": 10,
        "cached_tokens": 900,
        "cost_usd": pytest.approx(0.003025),
        "extra": {"cache_write_tokens": 50},
    }
    totals = document["final_metrics"]
    for total, each in (
        ("total_prompt_tokens", "prompt_tokens"),
        ("total_completion_tokens", "completion_tokens"),
        ("total_cached_tokens", "cached_tokens"),
        ("total_cost_usd", "cost_usd"),
    ):
        parts = (step["metrics"][each] for step in document["steps"] if "metrics" in step)
        assert totals[total] == pytest.approx(sum(parts)), total
    assert totals["total_steps"] == len(document["steps"])


def test_what_a_reply_that_broke_off_and_a_summary_used_stands_at_a_step(fake: FakeRun) -> None:
    result = fake.go(ToldModel(say("x", usage=USAGE)))
    used = USAGE + USAGE
    log = list(fake.run.journal.log)
    broken = ReplyDiscarded(usage=USAGE, used=used, usd=0.007)
    summary = HistorySummarised(
        through=1,
        bare=0,
        block=None,
        notes="what was done",
        orders=(),
        author="model",
        usage=USAGE,
        used=used + USAGE,
        usd=0.01,
        tokens_before=10,
        tokens_after=5,
    )
    document = written(fake, result, [*log, broken, summary])
    *_, void, summed = document["steps"]
    assert (void["message"], void["metrics"]["prompt_tokens"]) == ("", 1050)
    assert (summed["message"], summed["source"]) == ("what was done", "agent")
    assert summed["metrics"]["cost_usd"] == pytest.approx(0.003)


def test_each_step_says_when_it_was(fake: FakeRun) -> None:
    before = datetime.now(UTC)
    document = of(fake, call("bash", command="true"), say("x"))
    times = [datetime.fromisoformat(step["timestamp"]) for step in document["steps"]]
    assert times == sorted(times)
    assert before.replace(microsecond=0) <= times[0] <= datetime.now(UTC)


def test_record_of_other_length_gives_no_times_and_no_error(fake: FakeRun) -> None:
    result = fake.go(ToldModel(say("x")))
    log = fake.run.journal.log
    assert len(recorded_times(fake.record.directory)) == len(log)
    (fake.record.directory / "events.jsonl").unlink()
    document = written(fake, result)
    assert "timestamp" not in document["steps"][0]


def test_refused_call_is_answered_with_why(fake: FakeRun) -> None:
    document = of(fake, call("bash", command="curl example.org"), say("x"))
    (result,) = document["steps"][1]["observation"]["results"]
    assert result["extra"] == {"refused": "denied"}
    assert "curl" in result["content"]


def test_run_without_one_answer_has_a_step_that_says_how_it_ended(fake: FakeRun) -> None:
    def no_engine() -> None:
        raise RuntimeError("no engine")

    fake.before_open = no_engine
    document = of(fake)
    (only,) = document["steps"]
    assert only["source"] == "system"
    assert only["message"].startswith("crashed: ")


def test_failed_verification_is_the_last_thing_but_the_outcome(fake: FakeRun) -> None:
    fake.verify = "echo told; false"
    document = of(fake, say("x"))
    *_, checked, ended = document["steps"]
    assert checked["observation"]["results"][0]["content"].strip() == "told"
    assert ended["message"].startswith("not verified: ")


def test_thoughts_are_reasoning_whatever_service_had_them(fake: FakeRun) -> None:
    raws: list[dict[str, object]] = [
        {"type": "thinking", "thinking": "one", "signature": "s"},
        {"reasoning_content": "two"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "three"}]},
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "four"}]},
        {"type": "redacted_thinking", "data": "x", "summary": "no list of parts"},
        {"type": "reasoning", "data": "x", "summary": "no list of parts", "content": 7},
        {"type": "web_search_tool_result", "content": [{"type": "text", "text": "no thought"}]},
    ]
    thoughts = [Opaque(provider="p", raw=raw) for raw in raws]
    blocks: tuple[Opaque | Text, ...] = (*thoughts, Text(text="x"))
    reply = Reply(message=AssistantMessage(blocks=blocks), stop=StopReason.END_TURN, usage=Usage())
    document = of(fake, reply)
    assert document["steps"][1]["reasoning_content"] == "one\n\ntwo\n\nthree\n\nfour"
    assert document["steps"][1]["message"] == "x"


def test_images_are_named_where_the_record_keeps_them(fake: FakeRun) -> None:
    result = fake.go(ToldModel(call("bash", command="true"), say("x")))
    image = KeptImage(media_type="image/png", sha256="ab" * 32, size_bytes=3)
    log = [
        event.replaced({"images": (image,)}) if isinstance(event, CallEnded) else event
        for event in fake.run.journal.log
    ]
    document = written(fake, result, log)
    _, shown = document["steps"][1]["observation"]["results"][0]["content"]
    path = f"images/{'ab' * 32}"
    assert shown == {"type": "image", "source": {"media_type": "image/png", "path": path}}


def test_steps_of_another_run_are_marked_as_copied(fake: FakeRun) -> None:
    result = fake.go(ToldModel(call("bash", command="true"), say("x")))
    log = list(fake.run.journal.log)
    middle = next(number for number, event in enumerate(log) if isinstance(event, CallEnded))
    lossy = Lossy(cut=0, redacted=0, exact_thinking=True)
    forked = Forked(run_id="o", call=1, model="other:m", version="1", pid=1, lossy=lossy)
    document = written(fake, result, [*log[: middle + 1], forked, *log[middle + 1 :]])
    copied = [step.get("is_copied_context") for step in document["steps"]]
    assert copied == [True, True, None]
    assert document["steps"][2]["model_name"] == "other:m"


def test_secret_that_is_known_or_found_by_the_gate_is_not_in_it(
    tmp_path: Path, policy: Policy
) -> None:
    known = "a-known-secret-of-ours"
    found = "ghp_" + "A1b2C3d4E5" * 3 + "F6g7H8"
    fake = FakeRun(home=tmp_path, policy=policy, known_secrets=(known,))
    of(
        fake,
        call("write_file", path="k.py", content=f"token = '{found}'\n"),
        call("bash", command=f"echo {known}"),
        say(f"{known} {found}"),
    )
    text = (fake.record.directory / "trajectory.json").read_text()
    assert known not in text
    assert found not in text


TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(words=TEXTS, name=TEXTS, identifier=TEXTS, arguments=st.dictionaries(TEXTS, VALUES))
@example(words="", name="\ud800", identifier="", arguments={})
def test_whatever_a_model_writes_the_form_holds(
    fake: FakeRun, words: str, name: str, identifier: str, arguments: dict[str, object]
) -> None:
    use = ToolUse(id=identifier, name=name, arguments=arguments)
    blocks = (Text(text=words), use, use)
    reply = Reply(message=AssistantMessage(blocks=blocks), stop=StopReason.TOOL_USE, usage=Usage())
    fake.box = None
    document = of(fake, reply, say(words), task=words)
    assert len(document["steps"][1]["tool_calls"]) == 2


def test_document_holds_only_what_the_run_said(fake: FakeRun) -> None:
    result = fake.go(ToldModel(say("x")))
    document = trajectory(result.document, fake.run.journal.log)
    assert json.loads(json.dumps(document)) == document
