"""What was accepted is applied: proved, past the gate and verified again, or nothing is written."""

import hashlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.batch.thread_interrupts import ThreadInterrupts
from agent.errors import RecordError, UsageError
from agent.interrupts import Interrupts, SignalReceived
from agent.record.decisions import decisions
from agent.record.reader import reopen
from agent.record.store import EVENTS, PATCH, SUMMARY
from agent.review.decide.applying import apply_accepted
from agent.review.decide.outcome import (
    Applied,
    ApplyOrder,
    ApplyResult,
    CheckFailed,
    DoesNotFit,
    PartRefused,
)
from agent.verification import Failed, Verified
from fakes.box import TmpBox
from fakes.reviewed import CODE, FILES, WORK, Reviewed
from sandbox.errors import PatchError

Make = Callable[..., Reviewed]
ONE = ApplyOrder(choice={b"code.py": frozenset({1})})
ALL = ApplyOrder(choice={b"code.py": None, b"notes.txt": None})


def applied(reviewed: Reviewed, order: ApplyOrder) -> ApplyResult:
    return apply_accepted(
        reviewed.run.directory, order, reviewed.operator, reviewed.watch(Interrupts())
    )


def content(reviewed: Reviewed) -> dict[str, bytes]:
    return {
        str(path.relative_to(reviewed.workspace)): path.read_bytes()
        for path in sorted(reviewed.workspace.rglob("*"))
        if path.is_file()
    }


def test_what_is_accepted_is_verified_again_and_applied(make: Make) -> None:
    reviewed = make()
    done = applied(reviewed, ONE)
    assert isinstance(done, Applied)
    assert isinstance(done.verification, Verified)
    assert done.verification.output == "1\n", "what was verified is the part"
    assert b"".join(reviewed.output) == b"1\n", "and it was shown while it ran"
    assert [box.closed for box in reviewed.opened] == [True]
    expected = CODE.replace(b"line 1\n", b"LINE 1\n")
    assert content(reviewed) == {**FILES, "code.py": expected}
    (kept,) = decisions(reviewed.run.directory)
    assert (kept.by, kept.hunks, kept.verified) == ("ann", "code.py:1", True)
    assert kept.place == str(reviewed.workspace)


def test_nothing_is_applied_twice(make: Make) -> None:
    reviewed = make()
    assert isinstance(applied(reviewed, ALL), Applied)
    after = content(reviewed)
    again = applied(reviewed, ALL)
    assert isinstance(again, Applied)
    assert again.changes == ()
    assert content(reviewed) == after
    assert len(decisions(reviewed.run.directory)) == 1


def test_a_check_that_fails_writes_nothing_unless_that_is_said_with_a_reason(make: Make) -> None:
    reviewed = make(verify="grep -q two notes.txt && echo fine")
    before = content(reviewed)
    failed = applied(reviewed, ONE)
    assert isinstance(failed, CheckFailed)
    assert isinstance(failed.verification, Failed)
    assert content(reviewed) == before
    assert decisions(reviewed.run.directory) == ()
    with pytest.raises(UsageError, match="say why"):
        applied(reviewed, replace(ONE, unverified=True))
    assert content(reviewed) == before
    done = applied(reviewed, replace(ONE, unverified=True, reason="half of it"))
    assert isinstance(done, Applied)
    (kept,) = decisions(reviewed.run.directory)
    assert (kept.reason, kept.verified) == ("half of it", False)


def test_of_a_refused_patch_the_rest_can_be_applied(make: Make) -> None:
    reviewed = make(WORK)
    assert reviewed.run.is_refused
    whole = {**ALL.choice, b".github/workflows/x.yml": None}
    refused = applied(reviewed, ApplyOrder(choice=whole))
    assert isinstance(refused, PartRefused)
    assert {finding.id for finding in refused.findings} == {"protected-path"}
    assert content(reviewed) == FILES
    assert reviewed.opened == []
    assert isinstance(applied(reviewed, ALL), Applied)
    assert content(reviewed)["notes.txt"] == b"one\ntwo\n"
    flow = ApplyOrder(
        choice={b".github/workflows/x.yml": None},
        accepted_risks=frozenset({"protected-path"}),
        unverified=True,
        reason="our own flow",
    )
    assert isinstance(applied(reviewed, flow), Applied)
    assert content(reviewed)[".github/workflows/x.yml"] == b"on: push\n"
    assert decisions(reviewed.run.directory)[-1].accepted_risks == ("protected-path",)


def test_a_workspace_that_changed_since_is_merged_when_that_is_asked_for(make: Make) -> None:
    reviewed = make()
    here = CODE.replace(b"line 3\n", b"mine 3\n").replace(b"line 28\n", b"")
    (reviewed.workspace / "code.py").write_bytes(here)
    odd = applied(reviewed, ONE)
    assert isinstance(odd, DoesNotFit)
    assert (odd.merges, odd.regions) == (True, ())
    assert (reviewed.workspace / "code.py").read_bytes() == here
    assert isinstance(applied(reviewed, replace(ONE, three_way=True)), Applied)
    merged = here.replace(b"line 1\n", b"LINE 1\n")
    assert (reviewed.workspace / "code.py").read_bytes() == merged


@pytest.mark.parametrize("three_way", [False, True])
def test_a_conflict_is_shown_at_its_lines_and_nothing_is_written(
    make: Make, *, three_way: bool
) -> None:
    reviewed = make()
    here = CODE.replace(b"line 9\n", b"").replace(b"line 30\n", b"mine 30\n")
    (reviewed.workspace / "code.py").write_bytes(here)
    before = content(reviewed)
    odd = applied(reviewed, replace(ALL, three_way=three_way))
    assert isinstance(odd, DoesNotFit)
    assert not odd.merges
    assert [(region.line, region.ours, region.theirs) for region in odd.regions] == [
        (29, (b"mine 30",), (b"LINE 30",))
    ]
    assert content(reviewed) == before, "nor the file that had no conflict"
    assert reviewed.opened == [], "nobody waits minutes for a check to learn that"


def test_no_branch_is_made_where_there_is_no_repository(make: Make) -> None:
    reviewed = make()
    with pytest.raises(PatchError, match=r"no \.git"):
        applied(reviewed, replace(ONE, branch="fix"))
    assert content(reviewed) == FILES


def test_a_run_that_goes_or_was_killed_is_not_applied(make: Make) -> None:
    reviewed = make()
    directory = reviewed.run.directory
    said = json.loads((directory / SUMMARY).read_text())
    (directory / SUMMARY).write_text(json.dumps({**said, "outcome": "running", "patch": None}))
    record, _ = reopen(reviewed.home, reviewed.run.id)
    with pytest.raises(UsageError, match="still goes on"):
        applied(reviewed, ONE)
    record.close()
    with pytest.raises(UsageError, match="has no patch yet"):
        applied(reviewed, ONE)
    assert content(reviewed) == FILES


@pytest.mark.parametrize("what", ["line", "patch", "patch and summary", "old"])
def test_a_record_that_somebody_changed_is_not_applied(make: Make, what: str) -> None:
    reviewed = make()
    directory = reviewed.run.directory
    if what == "line":
        lines = (directory / EVENTS).read_text()
        (directory / EVENTS).write_text(lines.replace("line/LINE", "line/EVIL", 1))
    elif what == "old":
        (directory / "baseline" / "index").write_bytes(b"")
    else:
        evil = reviewed.data.replace(b"+LINE 30", b"+EVIL 30")
        (directory / PATCH).write_bytes(evil)
        if what == "patch and summary":
            summary = json.loads((directory / SUMMARY).read_text())
            summary["patch_sha256"] = hashlib.sha256(evil).hexdigest()
            (directory / SUMMARY).write_text(json.dumps(summary))
    with pytest.raises(RecordError):
        applied(reviewed, ALL)
    assert content(reviewed) == FILES


def test_an_apply_that_is_cancelled_writes_nothing(make: Make, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    reviewed = make(verify=f"test ! -e {pipe} || {{ echo begun > {pipe}; exec sleep 60; }}")
    os.mkfifo(pipe)
    interrupts = ThreadInterrupts()

    def cancel() -> None:
        pipe.read_bytes()
        interrupts.receive("cancelled")

    reader = threading.Thread(target=cancel)
    reader.start()
    with pytest.raises(SignalReceived):
        apply_accepted(reviewed.run.directory, ALL, reviewed.operator, reviewed.watch(interrupts))
    reader.join()
    assert content(reviewed) == FILES
    assert [box.closed for box in reviewed.opened] == [True]
    assert decisions(reviewed.run.directory) == ()


def test_two_that_apply_the_same_run_at_once_do_it_once(make: Make) -> None:
    reviewed = make()
    told: list[str] = []

    def meanwhile(_box: TmpBox) -> None:
        with pytest.raises(UsageError, match="somebody applies this run"):
            applied(reviewed, ONE)
        told.append("refused")

    reviewed.on_open = meanwhile
    assert isinstance(applied(reviewed, ONE), Applied)
    assert told == ["refused"]
    assert len(decisions(reviewed.run.directory)) == 1
