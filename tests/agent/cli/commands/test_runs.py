"""``moonpool runs`` lists what there is, whatever state one of them is in."""

import json
from pathlib import Path

import pytest

from agent.errors import RecordError
from agent.record.decisions import Decision, note
from agent.record.run_state import fold
from agent.record.runs import RecordedRun, UnreadableRun, all_runs, find
from agent.record.store import RunRecord
from agent.record.summary import running_summary
from command_line.running import Shell
from fakes.records import run_started


def summarised(home: Path, run_id: str, **more: object) -> Path:
    record = RunRecord.create(home, run_id=run_id)
    begun = run_started(run_id=run_id, **more)
    record.append(begun.json_object())
    record.write_summary(running_summary(fold([begun])).json_object())
    record.close()
    return record.directory


def test_a_run_is_one_line_with_model_time_and_verification(moonpool: Shell, script: str) -> None:
    task = "a task in several words " * 20
    assert moonpool("run", task, "-m", script, "--verify", "true").returncode == 0
    assert moonpool("run", task, "-m", script, "--verify", "false").returncode == 1
    for env in ({}, {"FORCE_COLOR": "1", "COLUMNS": "60", "TERM": "xterm"}):
        head, *rows = moonpool("runs", env=env).stdout.splitlines()
        assert len(rows) == 2
        assert "RUN  " in head
        assert "not verified" in rows[0]
    head, failed, verified = moonpool("runs").stdout.splitlines()
    assert head.split() == [
        "RUN", "OUTCOME", "VERIFIED", "FILES", "TIME", "MODEL", "TASK", "WORKSPACE",
    ]  # fmt: skip
    for row, outcome, answer in ((failed, "not verified", "no"), (verified, "finished", "yes")):
        assert row[head.index("OUTCOME") :].startswith(outcome)
        assert row[head.index("VERIFIED") :].startswith(answer)
        assert row[head.index("TIME") :].split()[1] == "s"
        assert row[head.index("MODEL") :].startswith("script:")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"[" * 100_000, "is not JSON"),
        (b"\xff", "is not JSON"),
        (b'{"run_id": "x", "outcome": "finished"}', "written by another version"),
        (b'{"format": 1, "run_id": "x"}', "has no `outcome`"),
        (None, "can't be read: No such file"),
    ],
)
def test_one_run_that_can_not_be_read_hides_no_other(
    moonpool: Shell, data: bytes | None, words: str
) -> None:
    home = Path(moonpool.environ["MOONPOOL_HOME"])
    summarised(home, "20260101-000000-aaaaaa")
    bad = summarised(home, "20260101-000001-bbbbbb") / "run.json"
    summarised(home, "20260101-000002-cccccc")
    bad.unlink() if data is None else bad.write_bytes(data)
    newest, unreadable, oldest = all_runs(home)
    assert isinstance(newest, RecordedRun)
    assert isinstance(oldest, RecordedRun)
    assert isinstance(unreadable, UnreadableRun)
    assert words in unreadable.problem
    assert str(bad) in unreadable.problem
    with pytest.raises(RecordError, match=r"run\.json"):
        find(home, unreadable.id)
    done = moonpool("runs")
    assert done.returncode == 0, done.stderr
    assert all(part in done.stdout for part in (newest.id, unreadable.id, "unreadable", oldest.id))
    listed = [json.loads(line) for line in moonpool("runs", "--json").stdout.splitlines()]
    assert [row["outcome"] for row in listed] == ["cut short", None, "cut short"]
    assert words in listed[1]["problem"]
    shown = moonpool("show", unreadable.id)
    assert (shown.returncode, shown.stdout) == (3, "")
    assert shown.stderr.count("\n") == 1


def test_last_is_the_newest_run_of_the_workspace_one_stands_in(moonpool: Shell) -> None:
    home = Path(moonpool.environ["MOONPOOL_HOME"])
    summarised(home, "20260101-000000-mine", workspace=str(moonpool.directory))
    summarised(home, "20260101-000001-other", workspace=str(moonpool.directory.parent / "home"))
    here = moonpool("show", "last", "--json")
    there = moonpool("show", "last", "--json", "-w", "../home")
    assert json.loads(here.stdout)["run_id"] == "20260101-000000-mine"
    assert json.loads(there.stdout)["run_id"] == "20260101-000001-other"
    assert "20260101-000000-mine" in moonpool("verify", "last").stdout
    listed = moonpool("runs", "-w", "../home", "--json").stdout.splitlines()
    assert [json.loads(line)["run_id"] for line in listed] == ["20260101-000001-other"]


def test_a_hostile_task_is_one_visible_line_in_a_pipe_and_on_a_terminal(moonpool: Shell) -> None:
    home = Path(moonpool.environ["MOONPOOL_HOME"])
    summarised(home, "20260101-000000-a", task="\x1b]0;x\x07 宽 one\ntwo \u202e" + "long " * 50)
    for env in ({}, {"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": "70", "TERM": "xterm"}):
        out = moonpool("runs", env=env).stdout
        assert len(out.splitlines()) == 2
        assert "\x1b]" not in out
        assert "\u202e" not in out
        assert "\\x1b]0;x\\x07" in out


def test_a_run_that_was_killed_says_what_is_left_of_it(moonpool: Shell) -> None:
    home = Path(moonpool.environ["MOONPOOL_HOME"])
    summarised(home, "20260101-000000-a")
    shown = moonpool("show", "last").stdout
    assert "its process ended before its container was ready" in shown
    assert "resume" not in shown
    with (home / "runs" / "20260101-000000-a" / "events.jsonl").open("a") as events:
        events.write('{"event": "sandbox_ready"}\n')
    for words in (("show", "last", "--patch"), ("apply", "last")):
        refused = moonpool(*words)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "`moonpool resume 20260101-000000-a` goes on with it" in refused.stderr


def test_what_was_decided_says_whether_it_was_verified(moonpool: Shell) -> None:
    home = Path(moonpool.environ["MOONPOOL_HOME"])
    run = summarised(home, "20260101-000000-a")
    told = {True: "; verified before", False: "; NOT verified before", None: ""}
    for verified in told:
        note(run, Decision(at="now", by="me", place="/w", patch_sha256="a", verified=verified))
    rows = [row for row in moonpool("show", "last").stdout.splitlines() if "decided" in row]
    assert [row.partition("/w")[2].rstrip() for row in rows] == list(told.values())


def test_a_folder_with_a_hostile_name_acts_on_no_terminal(moonpool: Shell) -> None:
    home = Path(moonpool.environ["MOONPOOL_HOME"])
    name = "2026\x1b]0;owned\x07\u202e"
    summarised(home, name, workspace=str(moonpool.directory))
    for words in (
        *(("runs",), ("show", "last"), ("show", name), ("apply", "last"), ("verify", "last")),
        *(
            ("blame", "last"),
            ("resume", "last"),
            ("replay", "last"),
            ("fork", "last"),
            ("show", "x"),
        ),
        *(("policy", "learn", "last"), ("runs", "--json"), ("show", "last", "--json")),
        ("completion", "fish", "--", "moonpool", "show", "2"),
    ):
        done = moonpool(*words)
        assert "Traceback" not in done.stderr
        for char in name[4:]:
            assert char.isprintable() or char not in done.stdout + done.stderr, words
