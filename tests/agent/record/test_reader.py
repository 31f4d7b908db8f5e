"""A record that is torn, edited, or of another version is named, line and fault."""

import json
from pathlib import Path

import pytest

from agent.errors import RecordError
from agent.record.events.lifecycle import Notice
from agent.record.reader import read_record
from agent.record.run_state import fold
from agent.record.store import digest
from agent.record.summary import summary_of
from fakes.records import run_started, written_record

EVENTS = (run_started(), Notice(text="one"), Notice(text="two"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return written_record(tmp_path, *EVENTS)


def rewritten(run: Path, *rows: dict[str, object]) -> Path:
    """The same record with other rows, chained as they should be."""
    previous, lines = "0" * 64, []
    for number, row in enumerate(rows):
        line = json.dumps({**row, "seq": number, "prev": previous}).encode()
        previous = digest(line)
        lines.append(line + b"\n")
    (run / "events.jsonl").write_bytes(b"".join(lines))
    return run


def rows(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


def test_what_was_written_is_read(run: Path) -> None:
    lines = read_record(run).require()
    assert tuple(line.event for line in lines) == EVENTS


def test_a_torn_last_line_is_left_out(run: Path) -> None:
    file = run / "events.jsonl"
    file.write_bytes(file.read_bytes()[:-5])
    record = read_record(run)
    assert tuple(line.event for line in record.require()) == EVENTS[:2]
    assert record.torn_bytes


@pytest.mark.parametrize(
    ("number", "change", "words"),
    [
        (1, {"text": 7}, "line 2 of {path}: notice has a `text`"),
        (2, {"more": 7}, "line 3 of {path}: notice has a field `more`"),
        (1, {"event": "followed"}, "line 2 of {path}: there is no event 'followed'"),
        (2, {"time": "yesterday"}, "line 3 of {path} has no `time`"),
        (2, {"time": "2026-01-01T10:00:00"}, "line 3 of {path} has no `time`"),
        (0, {"format": 2}, "{path} was written by another version of Moonpool"),
        (0, {"format": "1"}, "{path} was written by another version of Moonpool"),
    ],
)
def test_a_line_that_was_made_anew_is_named(
    run: Path, number: int, change: dict[str, object], words: str
) -> None:
    made = rows(run)
    made[number].update(change)
    record = read_record(rewritten(run, *made))
    assert record.fault.startswith(words.format(path=run / "events.jsonl"))
    assert len(record.lines) == number
    with pytest.raises(RecordError):
        record.require()


def test_a_line_that_was_edited_breaks_the_next(run: Path) -> None:
    file = run / "events.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"one"', b'"0ne"'))
    assert read_record(run).fault.startswith(f"line 3 of {file} does not follow")
    file.write_bytes(b"[]\n")
    assert read_record(run).fault.startswith(f"line 1 of {file} is no line of a record")


def test_a_record_from_before_there_were_formats_is_too_old(run: Path) -> None:
    made = rows(run)
    del made[0]["format"]
    fault = read_record(rewritten(run, *made)).fault
    assert "(its record format: none; this version reads 1 only)" in fault


def test_the_summary_of_a_run_without_an_end_is_known_from_its_events(run: Path) -> None:
    state = fold(line.event for line in read_record(run).lines)
    summary = summary_of(state, worked_s=2.0)
    assert (summary.outcome, summary.exit_code, summary.seconds) == ("cut short", None, 2.0)
    assert (summary.task, summary.patch) == ("mend it", None)
