"""What a record alone allows, without an engine: the same run again, or why not."""

import json
from pathlib import Path

import pytest

from agent.cli.commands.resume import _refuse_what_is_over
from agent.errors import RecordError, UsageError
from agent.past_runs.resume import HeldRun, take
from agent.record.reader import read_record
from fakes.box import TmpBox
from fakes.model import ToldModel, call, say
from fakes.runs import FakeRun
from policies.file.schema import render
from policies.loading import bundled_names, load, loads
from policies.policy import Policy
from sandbox.errors import PatchError

CHANGE = call("write_file", path="new.txt", content="made\n")
SECRET = "0123456789-secret"


@pytest.fixture
def fake(tmp_path: Path, policy: Policy) -> FakeRun:
    return FakeRun(home=tmp_path, policy=policy, files={"calc.py": b"one\n"})


def taken(fake: FakeRun) -> HeldRun:
    fake.record.close()
    return take(fake.home, fake.record.run_id, environ={}, known_secrets=(SECRET,), may_ask=False)


def cut_after(fake: FakeRun, event: str) -> None:
    """Leave the record as a process leaves it that is killed after the last such event."""
    fake.record.close()
    file = fake.record.directory / "events.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    last = max(n for n, line in enumerate(lines) if json.loads(line)["event"] == event)
    file.write_bytes(b"".join(lines[: last + 1]))


@pytest.mark.parametrize("name", bundled_names())
def test_a_recorded_policy_is_the_one_it_was(name: str) -> None:
    text = render(load(name))
    assert render(loads(text, file="events.jsonl")) == text


def test_the_job_is_the_one_it_was(fake: FakeRun) -> None:
    fake.verify = "pytest -q"
    fake.go(ToldModel(CHANGE, say("done")), task="mend \u202e it")
    job = taken(fake).job
    assert (job.task, job.verify, job.workspace) == ("mend \u202e it", "pytest -q", fake.home)
    assert render(job.policy) == render(fake.policy)


def test_a_policy_that_holds_a_secret_is_not_gone_on_with(fake: FakeRun) -> None:
    fake.known_secrets = (SECRET,)
    fake.policy = loads(
        render(fake.policy).replace("env:", f"env:\n  TOKEN: {SECRET}", 1), file="t"
    )
    fake.go(ToldModel(CHANGE, say("done")))
    assert "holds a secret" in taken(fake).obstacle
    assert SECRET not in (fake.record.directory / "events.jsonl").read_text()


def test_a_run_that_ended_is_over(fake: FakeRun) -> None:
    fake.go(ToldModel(CHANGE, say("done")))
    with pytest.raises(UsageError, match="patch is made"):
        _refuse_what_is_over(again := taken(fake))
    again.record.close()


def test_a_summary_that_was_never_written_comes_from_the_record(fake: FakeRun) -> None:
    """Killed after its last event: ``run.json`` still says that it runs."""
    whole = fake.go(ToldModel(CHANGE, say("done"))).document.json_object()
    assert json.loads((fake.record.directory / "run.json").read_text())["outcome"] == "running"
    again = taken(fake)
    with pytest.raises(UsageError, match="patch is made"):
        _refuse_what_is_over(again)
    again.record.close()
    written = json.loads((fake.record.directory / "run.json").read_text())
    assert written.keys() == whole.keys()
    for key in ("outcome", "patch", "patch_sha256", "tree", "changes", "exit_code", "turns"):
        assert written[key] == json.loads(json.dumps(whole[key])), key


def test_killed_after_the_patch_was_written_the_record_still_has_it(fake: FakeRun) -> None:
    whole = fake.go(ToldModel(CHANGE, say("done")))
    cut_after(fake, "exported")
    again = taken(fake)
    assert again.past.state.over is None
    assert again.past.ended == whole.outcome
    assert again.summary.tree == whole.document.tree
    again.record.close()


def test_a_container_that_was_left_for_its_patch_can_be_taken_up(fake: FakeRun) -> None:
    fake.box = TmpBox(files=fake.files)
    fake.box.failures["export"] = PatchError("the disk is full")
    fake.go(ToldModel(CHANGE, say("done")))
    again = taken(fake)
    _refuse_what_is_over(again)
    assert again.past.state.ready is not None
    assert again.past.state.ready.container_state.container == fake.box.id
    fake.box.close()
    again.record.close()


def test_the_record_of_one_run_is_not_taken_for_another(fake: FakeRun) -> None:
    fake.go(ToldModel(say("done")))
    other = fake.record.directory.with_name("20990101-000000-abcdef")
    fake.record.close()
    fake.record.directory.rename(other)
    with pytest.raises(RecordError, match="is not that of run"):
        take(fake.home, other.name, environ={}, known_secrets=(), may_ask=False)
    assert not read_record(other).fault
