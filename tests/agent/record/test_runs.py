"""What a run's directory says of it, looked at while its process works on."""

import json
import os
import threading
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.record.outcome import CutShort, name
from agent.record.run_state import fold
from agent.record.runs import patch_of, run_in
from agent.record.store import SUMMARY, RunRecord
from agent.record.summary import running_summary, summary_of
from fakes.records import run_started, written_record


def test_a_run_that_ends_between_two_looks_is_not_taken_for_a_dead_one(tmp_path: Path) -> None:
    directory = written_record(tmp_path, run_started())
    state = fold([run_started()])
    over = summary_of(state).replaced({"outcome": "finished"})
    os.mkfifo(directory / SUMMARY)

    def end() -> None:
        with (directory / SUMMARY).open("w") as first:
            json.dump(running_summary(state).json_object(), first)
            (directory / "new").write_text(json.dumps(over.json_object()))
            (directory / "new").rename(directory / SUMMARY)

    ending = threading.Thread(target=end)
    ending.start()
    run = run_in(directory)
    ending.join()
    assert (run.is_cut, run.summary) == (False, over)


def test_a_run_that_goes_on_is_not_said_to_have_ended(tmp_path: Path) -> None:
    record = RunRecord.create(tmp_path, run_id="a")
    record.append(run_started().json_object())
    record.write_summary(running_summary(fold([run_started()])).json_object())
    with pytest.raises(UsageError, match="has no patch: a process still works on it"):
        patch_of(run_in(record.directory))
    record.close()


def test_a_run_whose_process_is_gone_was_cut_short(tmp_path: Path) -> None:
    directory = written_record(tmp_path, run_started())
    summary = running_summary(fold([run_started()]))
    (directory / SUMMARY).write_text(json.dumps(summary.json_object()))
    run = run_in(directory)
    assert (run.is_cut, run.summary.outcome) == (True, name(CutShort(detail="")))
