"""What the kernel refused and which limits were met: told to the model, recorded, shown."""

import json
import time
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from agent.models.interface import Reply, Request
from agent.record.events.conversation import CallEnded, CallRefused, CallStarted
from agent.record.outcome import LimitReached, RunLimit
from agent.record.runs import RecordedRun
from agent.record.store import EVENTS
from agent.review.pages.report import render
from agent.terminal.progress import Display
from agent.terminal.result import print_result
from agent.terminal.screen import Screen
from fakes.box import TmpBox
from fakes.model import ToldModel, call, say
from fakes.runs import FakeRun
from policies.policy import Policy
from sandbox.results import CommandResult, LimitMet

HOSTILE = "/tmp/\x1b[2J<b>\u202eperl"


class Held(TmpBox):
    """A box in which every command is refused programs by the kernel."""

    refused: tuple[str, ...] = ("/usr/bin/perl",)
    limits: tuple[LimitMet, ...] = ()

    def _finish(self, *arguments: object, **options: object) -> CommandResult:
        result = super()._finish(*arguments, **options)  # type: ignore[arg-type]
        return replace(result, refused=self.refused, limits=self.limits)


@pytest.fixture
def fake(tmp_path: Path, policy: Policy) -> FakeRun:
    made = FakeRun(home=tmp_path, policy=policy, files={"a.py": b"one\n"})
    made.box = Held(files=made.files)
    return made


def shown(run: RecordedRun) -> str:
    out = StringIO()
    print_result(Screen(out), run)
    return out.getvalue()


def test_a_refused_program_reaches_the_model_the_record_show_and_the_report(fake: FakeRun) -> None:
    model = ToldModel(call("bash", command="ls"), call("bash", command="ls -a"), say("done"))
    summary = fake.go(model)
    told = [event for event in fake.log if isinstance(event, CallEnded)]
    assert [event.refused for event in told] == [("/usr/bin/perl",)] * 2
    assert "[the kernel refused /usr/bin/perl: not among what the policy lets run; " in told[0].text
    lines = [json.loads(line) for line in (fake.record.directory / EVENTS).read_text().splitlines()]
    ended = [line for line in lines if line["event"] == "call_ended"]
    assert [line["refused"] for line in ended] == [["/usr/bin/perl"]] * 2
    document = summary.document.json_object()
    rows = document["kernel_refusals"]
    assert isinstance(rows, list)
    assert [(row["call"], row["program"]) for row in rows] == [
        (1, "/usr/bin/perl"),
        (2, "/usr/bin/perl"),
    ]
    run = RecordedRun(id="x", directory=fake.record.directory, summary=summary.document)
    assert "refused by the kernel: /usr/bin/perl (call 1, 2)" in shown(run)
    page = render(summary, fake.run.journal.log)
    assert "Refused by the kernel" in page
    assert '<td class="mono">/usr/bin/perl</td><td>call 2</td>' in page


def test_a_hostile_name_acts_nowhere(fake: FakeRun) -> None:
    assert isinstance(fake.box, Held)
    fake.box.refused = (HOSTILE,)
    summary = fake.go(ToldModel(call("bash", command="ls"), say("done")))
    run = RecordedRun(id="x", directory=fake.record.directory, summary=summary.document)
    screen = StringIO()
    display = Display(Screen(screen))
    for event in fake.log:
        display.show(event)
    model = next(event.text for event in fake.log if isinstance(event, CallEnded))
    for text in (shown(run), screen.getvalue(), render(summary, fake.run.journal.log), model):
        assert "\x1b[2J" not in text
        assert "\u202e" not in text
        assert "\\u202eperl" in text
    assert "<b>" not in render(summary, fake.run.journal.log)


def test_without_a_refusal_nothing_is_said_of_one(fake: FakeRun) -> None:
    assert isinstance(fake.box, Held)
    fake.box.refused = ()
    summary = fake.go(ToldModel(call("bash", command="ls"), say("done")))
    run = RecordedRun(id="x", directory=fake.record.directory, summary=summary.document)
    assert "refused by the kernel" not in shown(run)
    assert "Refused by the kernel" not in render(summary, fake.run.journal.log)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (LimitMet.MEMORY, "out of memory (limits.memory, "),
        (LimitMet.PIDS, "could not be started: {pids} run already (limits.pids)"),
        (LimitMet.DISK, "the disk limit is used up (limits.disk, "),
    ],
)
def test_a_limit_that_was_met_is_named_to_the_model_and_recorded(
    limit: LimitMet, words: str, fake: FakeRun
) -> None:
    assert isinstance(fake.box, Held)
    fake.box.limits = (limit,)
    fake.go(ToldModel(call("bash", command="ls"), say("done")))
    ended = next(event for event in fake.log if isinstance(event, CallEnded))
    assert words.format(pids=fake.policy.limits.pids) in ended.text
    assert ended.json_object()["limits"] == [limit.value]


def test_every_decision_is_in_the_record(fake: FakeRun) -> None:
    fake.go(
        ToldModel(
            call("bash", command="ls"),
            call("bash", command="$CMD"),
            call("bash", command="curl example.org"),
            call("bash", cmd="ls"),
            call("launch", what="x"),
            call("read_file", path="a.py"),
            say("done"),
        )
    )
    lines = [json.loads(line) for line in (fake.record.directory / EVENTS).read_text().splitlines()]
    calls = [line for line in lines if line["event"] in {"call_started", "call_refused"}]
    assert [line["number"] for line in calls] == [1, 2, 3, 4, 5, 6]
    whys = [line.get("why") for line in calls]
    assert whys == [None, None, "denied", "malformed", "unknown tool", None]
    for line in calls:
        decided = line["event"] == "call_started" or line["why"] == "denied"
        assert (line["decision"] is not None) == decided
    assert calls[0]["decision"]["type"] == "allow"
    assert calls[0]["decision"]["rules"]
    assert "the kernel decides" in calls[1]["decision"]["notes"][0]
    assert calls[2]["decision"]["type"] == "deny"
    assert calls[2]["decision"]["rule"]
    assert not [e for e in fake.log if isinstance(e, CallRefused) and e.number == 1]
    assert [e.number for e in fake.log if isinstance(e, CallStarted)] == [1, 2, 6]


class Slow(ToldModel):
    """A model whose service does not answer."""

    def reply(self, request: Request, on_event: object) -> Reply:
        time.sleep(60)
        raise AssertionError("the run's time was over long ago")


def test_a_runs_time_ends_a_model_call_with_the_limit_named_and_the_patch_made(
    tmp_path: Path, policy: Policy
) -> None:
    short = replace(policy, limits=replace(policy.limits, time_s=0.3))
    fake = FakeRun(home=tmp_path, policy=short, files={"a.py": b"one\n"})
    began = time.monotonic()
    summary = fake.go(Slow())
    assert time.monotonic() - began < 30
    assert isinstance(summary.outcome, LimitReached)
    assert summary.outcome.limit is RunLimit.TIME
    assert "limits.time" in summary.outcome.detail
    assert summary.delivery is not None


def test_a_runs_time_ends_a_command_and_names_the_limit(tmp_path: Path, policy: Policy) -> None:
    short = replace(policy, limits=replace(policy.limits, time_s=1.0))
    fake = FakeRun(home=tmp_path, policy=short, files={"a.py": b"one\n"})
    summary = fake.go(ToldModel(call("bash", command="sleep 50"), say("never said")))
    assert isinstance(summary.outcome, LimitReached)
    assert summary.outcome.limit is RunLimit.TIME
    assert summary.delivery is not None
