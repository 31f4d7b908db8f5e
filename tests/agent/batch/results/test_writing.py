"""The files of a batch are replaced as a whole, or stay as they were and it is said."""

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.batch.results.writing import write_all
from agent.errors import RecordError
from fakes.batches import a_row, a_task

BEGAN = datetime(2026, 11, 29, 1, tzinfo=UTC)
FILES = {"results.jsonl", "preds.json", "preds.jsonl", "junit.xml", "summary.html"}


def test_every_file_is_there_and_nothing_else(tmp_path: Path) -> None:
    for _ in range(2):
        write_all(tmp_path, [a_task()], [a_row()], began=BEGAN)
        assert {path.name for path in tmp_path.iterdir()} == FILES


def test_folder_that_can_not_be_written_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"preds\.jsonl can't be written: .*make room"):
        write_all(tmp_path / "gone", [a_task()], [a_row()], began=BEGAN)


@pytest.mark.parametrize("name", sorted(FILES))
def test_file_that_can_not_be_replaced_stays_whole_and_leaves_no_part(
    tmp_path: Path, name: str
) -> None:
    write_all(tmp_path, [a_task()], [a_row()], began=BEGAN)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(RecordError, match=os.strerror(errno.EISDIR)):
        write_all(tmp_path, [a_task()], [a_row()], began=BEGAN)
    assert {path.name for path in tmp_path.iterdir()} == FILES
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_rows_stand_in_the_order_of_the_tasks_and_attempts(tmp_path: Path) -> None:
    rows = [a_row("b", 2), a_row("gone from the file"), a_row("a"), a_row("b", 1)]
    write_all(tmp_path, [a_task("b"), a_task("a")], rows, began=BEGAN)
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    names = [line.partition('"run_id": "')[2].partition('"')[0] for line in lines]
    assert names == ["run-b-1", "run-b-2", "run-a-1", "run-gone from the file-1"]
