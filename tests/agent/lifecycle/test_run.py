"""A run from task to report: a patch on every way out, and each way out by its name."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent import exit_codes
from agent.errors import ModelBilling
from agent.models.interface import Reply, StopReason
from agent.models.script import ScriptModel
from agent.record.events.conversation import CallStarted, ModelCalled
from agent.record.events.kinds import Event
from agent.record.events.lifecycle import ExportFailed, Notice, RunEnded
from agent.record.outcome import (
    Crashed,
    ExportRefused,
    Finished,
    GaveUp,
    Interrupted,
    LimitReached,
    ModelFailed,
    NotVerified,
    RecordFailed,
    Refused,
    SandboxFailed,
)
from agent.record.reader import read_record
from agent.verification import Failed, NotRun, Verified
from checkout import EXAMPLES
from fakes.box import TmpBox
from fakes.conversation import with_budget
from fakes.model import ToldModel, call, say
from fakes.runs import FakeRun
from policies.policy import Policy
from sandbox.errors import ContainerGone, EngineUnavailable, PatchError, SandboxLost

CHANGE = call("write_file", path="new.txt", content="made\n")


@pytest.fixture
def fake(tmp_path: Path, policy: Policy) -> FakeRun:
    return FakeRun(home=tmp_path, policy=policy, files={"calc.py": b"one\n"})


def calculator() -> dict[str, bytes]:
    root = EXAMPLES / "calculator"
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "cache" not in str(path)
    }


def test_the_calculator_is_mended_proved_and_verified(tmp_path: Path, policy: Policy) -> None:
    fake = FakeRun(home=tmp_path, policy=policy, files=calculator(), verify="pytest -q")
    summary = fake.go(ScriptModel.open(str(EXAMPLES / "calculator.script.yaml")))
    assert isinstance(summary.outcome, Finished), summary.outcome
    assert summary.delivery is not None
    assert [change.path for change in summary.delivery.patch.changes] == [
        b"calculator/arithmetic.py"
    ]
    assert b"+    return a * b" in summary.delivery.patch.data
    assert isinstance(summary.document.verification, Verified)
    assert summary.exit_code == exit_codes.DONE


def test_the_box_is_closed_and_so_is_the_fresh_one(fake: FakeRun) -> None:
    fake.verify = "true"
    fake.go(ToldModel(CHANGE, say("done")))
    assert fake.box is not None
    assert fake.box.closed
    assert [box.closed for box in fake.box.opened] == [True]


def model_that(ending: str) -> ToldModel:
    last: dict[str, Reply | Exception] = {
        "finishes": say("done"),
        "refuses": say("no", StopReason.REFUSAL),
        "fills its window": say("no", StopReason.CONTEXT_WINDOW),
        "can't be paid": ModelBilling("402: top up the account"),
        "hits a defect": KeyError("oops"),
    }
    return ToldModel(CHANGE, last[ending])


@pytest.mark.parametrize(
    ("ending", "outcome", "code"),
    [
        ("finishes", Finished, 0),
        ("refuses", Refused, 1),
        ("fills its window", LimitReached, 1),
        ("can't be paid", ModelFailed, 4),
        ("hits a defect", Crashed, 3),
    ],
)
def test_there_is_a_patch_however_the_model_ends(
    fake: FakeRun, ending: str, outcome: type, code: int
) -> None:
    summary = fake.go(model_that(ending))
    assert isinstance(summary.outcome, outcome)
    assert summary.exit_code == code
    assert summary.delivery is not None
    assert b"+made" in (fake.record.directory / "patch.diff").read_bytes()


def test_there_is_a_patch_at_the_turn_limit(fake: FakeRun) -> None:
    fake.policy = with_budget(fake.policy, turns=1)
    summary = fake.go(ToldModel(CHANGE))
    assert isinstance(summary.outcome, LimitReached)
    assert (summary.exit_code, summary.delivery is not None) == (1, True)


def test_there_is_a_patch_when_the_model_loops(fake: FakeRun) -> None:
    summary = fake.go(ToldModel(CHANGE, *[call("bash", command="exit 1")] * 9))
    assert isinstance(summary.outcome, GaveUp)
    assert (summary.exit_code, summary.delivery is not None) == (1, True)


def test_there_is_a_patch_when_the_command_server_dies(fake: FakeRun) -> None:
    fake.box = TmpBox(files=fake.files)
    fake.box.failures["run"] = SandboxLost("the container is gone")
    summary = fake.go(ToldModel(CHANGE, call("bash", command="true")))
    assert summary.outcome == SandboxFailed(message="the container is gone")
    assert (summary.exit_code, summary.delivery is not None) == (3, True)


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_there_is_a_patch_after_an_interrupt(fake: FakeRun, signal: str) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, CallStarted):
            fake.interrupts.receive(signal)

    fake.also = interrupt
    summary = fake.go(ToldModel(CHANGE))
    assert summary.outcome == Interrupted(signal=signal)
    assert (summary.exit_code, summary.delivery is not None) == (130, True)


def test_there_is_a_patch_after_two_interrupts(fake: FakeRun) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, ModelCalled) and event.turn == 2:
            fake.interrupts.receive("SIGINT")
            fake.interrupts.receive("SIGINT")

    fake.also = interrupt
    summary = fake.go(ToldModel(CHANGE))
    assert isinstance(summary.outcome, Interrupted)
    assert summary.delivery is not None
    assert summary.delivery.patch.changes


def test_an_interrupt_before_the_box_is_open_ends_the_run_without_one(fake: FakeRun) -> None:
    fake.before_open = lambda: fake.interrupts.receive("SIGINT")
    summary = fake.go(ToldModel())
    assert (summary.exit_code, summary.delivery) == (130, None)


def test_no_engine_ends_the_run_with_3_before_the_model_is_asked(fake: FakeRun) -> None:
    def fail() -> None:
        raise EngineUnavailable("no engine answers: start it")

    fake.before_open = fail
    model = ToldModel()
    summary = fake.go(model)
    assert summary.outcome == SandboxFailed(message="no engine answers: start it")
    assert summary.exit_code == 3
    assert model.requests == []


def test_a_patch_that_cannot_be_made_keeps_the_container_and_says_so(fake: FakeRun) -> None:
    fake.box = TmpBox(files=fake.files)
    for way in ("export", "export_tracked"):
        fake.box.failures[way] = PatchError("the disk is full")
    summary = fake.go(ToldModel(CHANGE, say("done")))
    assert isinstance(summary.outcome, SandboxFailed)
    assert summary.delivery is None
    assert summary.document.container_left == fake.box.id
    assert not fake.box.closed
    assert any("still stands" in e.text for e in fake.log if isinstance(e, Notice))
    fake.box.close()


@pytest.mark.parametrize(
    "failure", [SandboxLost("its tar broke off"), KeyError("oops"), OSError(28, "no space")]
)
def test_whatever_fails_in_the_export_the_container_stays(
    fake: FakeRun, failure: Exception
) -> None:
    fake.box = TmpBox(files=fake.files)
    fake.box.failures["export"] = failure
    summary = fake.go(ToldModel(CHANGE, say("done")))
    assert isinstance(summary.outcome, SandboxFailed | Crashed)
    assert (summary.document.container_left, fake.box.closed) == (fake.box.id, False)
    # What the calls were seen to change is there meanwhile.
    assert summary.delivery is not None
    assert summary.delivery.patch.changes
    assert "was seen to change up to call 1 of 1" in summary.outcome.message
    words = [event.text for event in fake.log if isinstance(event, Notice)]
    assert any(f"moonpool resume {fake.record.run_id} --export-only" in text for text in words)
    fake.box.close()


def test_a_defect_in_every_export_is_told_as_the_first_one(fake: FakeRun) -> None:
    fake.box = TmpBox(files=fake.files)
    fake.box.failures["export"] = KeyError("oops")
    fake.box.failures["export_tracked"] = ValueError("and again")
    summary = fake.go(ToldModel(CHANGE, say("done")))
    assert summary.outcome == Crashed(
        message="a defect of Moonpool in the export: KeyError('oops')"
    )
    assert (summary.delivery, fake.box.closed) == (None, False)
    assert "and again" in next(e.message for e in fake.log if isinstance(e, ExportFailed))
    fake.box.close()


def test_a_defect_in_what_stands_in_for_an_export_that_fails_is_told(fake: FakeRun) -> None:
    fake.box = TmpBox(files=fake.files)
    fake.box.failures["export"] = SandboxLost("no answer")
    fake.box.failures["export_tracked"] = ValueError("oops")
    summary = fake.go(ToldModel(CHANGE, say("done")))
    assert summary.outcome == SandboxFailed(message="the patch can't be made: no answer")
    assert (summary.delivery, fake.box.closed) == (None, False)
    assert next(e.message for e in fake.log if isinstance(e, ExportFailed)) == "no answer; oops"
    fake.box.close()


@pytest.mark.parametrize("step", ["fresh", "close"])
def test_a_defect_behind_the_export_costs_neither_patch_nor_summary(
    fake: FakeRun, step: str
) -> None:
    fake.verify = "true"
    fake.box = TmpBox(files=fake.files)
    fake.box.failures[step] = KeyError("oops")
    summary = fake.go(ToldModel(CHANGE, say("done")))
    assert summary.delivery is not None
    assert isinstance(summary.outcome, NotVerified if step == "fresh" else Finished)
    assert any("oops" in line for line in fake.lines)
    assert isinstance(fake.log[-1], RunEnded)
    if not fake.box.closed:
        fake.box.close()


def test_a_container_that_is_gone_is_not_said_to_stand(fake: FakeRun) -> None:
    fake.box = TmpBox(files=fake.files)
    fake.box.failures["export"] = ContainerGone("no such container")
    assert fake.go(ToldModel(CHANGE, say("done"))).document.container_left is None


def test_an_engine_that_was_away_for_a_moment_costs_no_patch(fake: FakeRun) -> None:
    fake.box = TmpBox(files=fake.files)
    fake.box.failures["export"] = EngineUnavailable("restarting")
    summary = fake.go(ToldModel(CHANGE, say("done")))
    assert isinstance(summary.outcome, Finished)
    assert summary.delivery is not None
    assert any("does not answer" in e.text for e in fake.log if isinstance(e, Notice))


def test_there_is_a_patch_when_a_tool_raises_what_it_may_not(fake: FakeRun) -> None:
    fake.box = TmpBox(files=fake.files)
    fake.box.failures["run"] = ZeroDivisionError("a defect")
    summary = fake.go(ToldModel(CHANGE, call("bash", command="true")))
    assert isinstance(summary.outcome, Crashed)
    assert (summary.exit_code, summary.delivery is not None) == (3, True)


def test_a_failed_verification_is_no_success(fake: FakeRun) -> None:
    fake.verify = "echo broken; test -e nothing"
    summary = fake.go(ToldModel(CHANGE, say("done")))
    assert isinstance(summary.outcome, NotVerified)
    assert "not verified" not in summary.document.detail, "it stands in the outcome"
    assert isinstance(summary.document.verification, Failed)
    assert "broken" in summary.document.verification.output
    assert summary.exit_code == 1


def test_verification_sees_the_patch_and_nothing_else_of_the_agents(fake: FakeRun) -> None:
    fake.verify = "test -e new.txt && test ! -e /tmp/moonpool-test-marker"
    summary = fake.go(ToldModel(CHANGE, say("done")))
    assert isinstance(summary.document.verification, Verified)
    assert fake.box is not None
    assert fake.box.opened[0].calls == ["apply", f"run {fake.verify}", "close"]


def test_a_cut_short_run_is_not_verified_and_says_so(fake: FakeRun) -> None:
    fake.verify = "true"
    summary = fake.go(model_that("can't be paid"))
    assert isinstance(summary.document.verification, NotRun)


def test_a_protected_path_refuses_the_export_and_the_patch_is_kept_aside(fake: FakeRun) -> None:
    paths = replace(fake.policy.paths, protect=(".github/**",))
    fake.policy = replace(fake.policy, paths=paths)
    fake.verify = "true"
    model = ToldModel(call("write_file", path=".GitHub/workflows/x.yml", content="x"), say("done"))
    summary = fake.go(model)
    assert isinstance(summary.outcome, ExportRefused)
    assert summary.outcome.before == Finished(message="done")
    assert summary.exit_code == 5
    assert not (fake.record.directory / "patch.diff").exists()
    assert (fake.record.directory / "patch.refused.diff").exists()
    assert isinstance(summary.document.verification, NotRun)


def test_a_record_that_cannot_be_written_ends_the_run_with_the_patch_elsewhere(
    fake: FakeRun,
) -> None:
    def full(event: Event) -> None:
        if isinstance(event, CallStarted):
            directory = fake.record.directory
            fake.record.close()
            fake.record._events = -1
            directory.rename(directory.with_name("gone"))

    fake.also = full
    summary = fake.go(ToldModel(CHANGE, say("never asked")))
    assert isinstance(summary.outcome, RecordFailed)
    assert summary.exit_code == 3
    assert summary.delivery is not None
    assert summary.delivery.path.read_bytes() == summary.delivery.patch.data


def test_a_screen_that_is_gone_does_not_end_the_run(fake: FakeRun) -> None:
    def gone(_event: Event) -> None:
        raise BrokenPipeError

    fake.also = gone
    assert isinstance(fake.go(ToldModel(CHANGE, say("done"))).outcome, Finished)


def test_run_json_says_running_until_it_is_over(fake: FakeRun) -> None:
    seen: list[str] = []

    def look(event: Event) -> None:
        if isinstance(event, ModelCalled):
            seen.append(json.loads((fake.record.directory / "run.json").read_text())["outcome"])

    fake.also = look
    fake.go(ToldModel(say("done")))
    assert seen == ["running"]


def test_the_summary_has_what_the_design_names(fake: FakeRun) -> None:
    document = fake.go(ToldModel(CHANGE, say("done"))).document.json_object()
    named = {"run_id", "outcome", "exit_code", "patch", "tree"}
    assert named <= set(document)
    json.dumps(document)


def test_the_record_holds_every_step_and_its_chain_is_whole(fake: FakeRun) -> None:
    fake.verify = "true"
    fake.go(ToldModel(CHANGE, call("bash", command="curl x"), say("done")))
    path = fake.record.directory / "events.jsonl"
    kinds = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    assert kinds == [
        "run_started",
        "sandbox_ready",
        "user_message_added",
        "call_reserved",
        "model_called",
        "model_replied",
        "call_started",
        "call_ended",
        "changes_tracked",
        "call_reserved",
        "model_called",
        "model_replied",
        "call_refused",
        "call_reserved",
        "model_called",
        "model_replied",
        "conversation_ended",
        "exported",
        "verification_ended",
        "run_ended",
    ]
    assert not read_record(path.parent).fault


def test_an_accepted_risk_passes_and_stands_in_event_summary_and_finding(fake: FakeRun) -> None:
    hidden = call("write_file", path="x.py", content="a = '\u202e'\n")
    assert fake.go(ToldModel(hidden, say("done"))).exit_code == exit_codes.EXPORT_REFUSED
    fake.box = None
    fake.lines = []
    fake.accepted_risks = frozenset({"bidi-control"})
    summary = fake.go(ToldModel(hidden, say("done")))
    assert summary.exit_code == exit_codes.DONE
    events = [json.loads(line) for line in fake.lines]
    assert events[0]["accepted_risks"] == ["bidi-control"]
    (exported,) = (event for event in events if event["event"] == "exported")
    document = json.loads(json.dumps(summary.document.json_object()))
    for findings in (exported["findings"], document["findings"]):
        assert [(row["id"], row["line"], row["accepted"]) for row in findings] == [
            ("bidi-control", 1, True)
        ]
    assert document["accepted_risks"] == ["bidi-control"]
