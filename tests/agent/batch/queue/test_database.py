"""``batch.db``: ours, of this version, whole, or left as it is."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from agent.batch.queue import database
from agent.errors import RecordError, UsageError


def test_a_new_one_is_whole_and_for_the_owner_alone(tmp_path: Path) -> None:
    database.create(tmp_path)
    with closing(database.opened(tmp_path)) as found:
        assert found.execute("SELECT count(*) FROM attempts").fetchone() == (0,)
        assert found.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert (tmp_path / database.NAME).stat().st_mode & 0o777 == 0o600


def test_what_a_process_left_that_ended_while_it_made_one_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".batch.db.new").write_bytes(b"half of a")
    database.create(tmp_path)
    database.opened(tmp_path).close()


def test_a_folder_without_one_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="moonpool batch run"):
        database.opened(tmp_path)


def _garbage(path: Path) -> None:
    path.write_bytes(os.urandom(9000))


def _words(path: Path) -> None:
    path.write_text("no database at all")


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _cut_short(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _somebody_elses(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE attempts (task TEXT)")


def _of_another_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 99")


def _a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))
    path.symlink_to("elsewhere.db")


def _a_hard_link(path: Path) -> None:
    path.with_name("elsewhere.db").hardlink_to(path)


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (_garbage, "damaged, or no database"),
        (_words, "damaged, or no database"),
        (_emptied, "cut short"),
        (_cut_short, "damaged"),
        (_somebody_elses, "no database of a batch"),
        (_of_another_version, "another version of Moonpool"),
        (_a_link, "is a link"),
        (_a_hard_link, "is a link"),
        (_a_folder, "is a link or no file"),
    ],
)
def test_what_is_not_ours_is_named_and_left_as_it_is(
    tmp_path: Path, done: Callable[[Path], None], words: str
) -> None:
    path = tmp_path / database.NAME
    database.create(tmp_path)
    done(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(RecordError, match=words):
        database.opened(tmp_path)
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert database.exists(tmp_path)


@pytest.mark.parametrize("beside", ["batch.db-wal", "batch.db-shm", "batch.db-journal"])
def test_what_stands_beside_it_is_no_link_either(tmp_path: Path, beside: str) -> None:
    database.create(tmp_path)
    (tmp_path / "mine.txt").write_text("of another's")
    (tmp_path / beside).symlink_to("mine.txt")
    with pytest.raises(RecordError, match="is a link"):
        database.opened(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "of another's"


def test_a_link_to_nowhere_is_something_that_stands_there(tmp_path: Path) -> None:
    (tmp_path / database.NAME).symlink_to("nowhere")
    assert database.exists(tmp_path)
    with pytest.raises(RecordError, match="link"):
        database.opened(tmp_path)
    assert not (tmp_path / "nowhere").exists()
