"""A run as a row: what its run.json says, under the keys that others build against."""

import hashlib
import json
from pathlib import Path

import pytest

from agent.batch.attempt import ErrorKind
from agent.batch.results.rows import attempt_row
from agent.errors import RecordError
from agent.models.interface import Usage
from agent.record.store import SUMMARY, runs_directory
from fakes.batches import FakeBatch, a_task
from fakes.model import call, say
from policies.policy import Policy

FIXED = (
    *("task_id", "attempt", "run_id", "outcome", "error_kind", "verified", "patch"),
    *("patch_sha256", "worst_finding", "turns", "input_tokens", "output_tokens", "usd", "seconds"),
)


@pytest.fixture
def batch(tmp_path: Path, policy: Policy) -> FakeBatch:
    return FakeBatch(tmp_path, policy)


def test_row_of_a_verified_run_says_what_its_summary_does(batch: FakeBatch) -> None:
    usage = Usage(input_tokens=5, output_tokens=7, cache_read_tokens=11, cache_write_tokens=13)
    row = batch.attempt(
        a_task(),
        call("write_file", path="b.py", content="two\n"),
        say("done", usage=usage),
        verify="grep -q two b.py",
    )
    assert row.json_object().keys() >= set(FIXED)
    assert (row.task_id, row.attempt, row.outcome, row.error_kind) == ("t1", 1, "finished", None)
    assert row.verified is True
    assert row.patch == f"runs/{row.run_id}/patch.diff"
    data = (batch.directory / row.patch).read_bytes()
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (row.patch_sha256, row.patch_bytes)
    assert (row.turns, row.output_tokens) == (2, 7)
    assert row.input_tokens == 29, "cached tokens are input"
    assert row.started


@pytest.mark.parametrize(("verify", "verified"), [("false", False), (None, None)])
def test_verification_that_failed_differs_from_none(
    batch: FakeBatch, verify: str | None, *, verified: bool | None
) -> None:
    row = batch.attempt(
        a_task(),
        call("write_file", path="b.py", content="two\n"),
        say("done"),
        verify=verify,
        error_kind=ErrorKind.AGENT if verify else None,
    )
    assert row.verified is verified
    assert json.loads(json.dumps(row.json_object()))["error_kind"] == (verify and "agent")


def test_worst_finding_is_the_worst_not_the_first(batch: FakeBatch) -> None:
    row = batch.attempt(
        a_task(),
        call("write_file", path="a\u202eb.py", content="x\n"),
        call("write_file", path="package.json", content='{"scripts": {"install": "x"}}\n'),
        say("done"),
    )
    findings = json.loads((batch.directory / f"runs/{row.run_id}" / SUMMARY).read_text())
    severities = {finding["severity"] for finding in findings["findings"]}
    assert row.worst_finding == {1: "note", 2: "warning", 3: "danger"}[max(severities)]


def test_patch_of_a_run_that_came_from_another_machine_is_the_one_here(
    batch: FakeBatch, tmp_path: Path
) -> None:
    row = batch.attempt(a_task(), call("write_file", path="b.py", content="two\n"), say("done"))
    moved = tmp_path / "elsewhere"
    runs_directory(moved).mkdir(parents=True)
    run = runs_directory(moved) / str(row.run_id)
    (batch.directory / f"runs/{row.run_id}").rename(run)
    assert attempt_row(a_task(), 1, moved, run).patch == f"runs/{row.run_id}/patch.diff"


def test_summary_that_is_cut_is_an_error_and_no_row(batch: FakeBatch) -> None:
    row = batch.attempt(a_task(), say("done"))
    run = batch.directory / f"runs/{row.run_id}"
    (run / SUMMARY).write_bytes((run / SUMMARY).read_bytes()[:100])
    with pytest.raises(RecordError, match=r"run\.json is not JSON"):
        attempt_row(a_task(), 1, batch.directory, run)


def test_reward_that_the_check_gave_stands_in_the_row(batch: FakeBatch) -> None:
    row = batch.attempt(a_task(), say("done"), verify="false", error_kind=ErrorKind.AGENT)
    assert row.reward is None
    run = batch.directory / f"runs/{row.run_id}"
    summary = json.loads((run / SUMMARY).read_text())
    summary["verification"]["reward"] = 0.5
    (run / SUMMARY).write_text(json.dumps(summary))
    again = attempt_row(a_task(), 1, batch.directory, run)
    assert (again.verified, again.reward) == (False, 0.5)
