"""One process works on a batch's folder, and the lock ends with it."""

import multiprocessing
import os
from pathlib import Path

import pytest

from agent.batch.queue.ownership import BatchHeld, owned, owner_of
from agent.errors import UsageError


def test_a_second_says_who_works_on_it_and_how_to_look(tmp_path: Path) -> None:
    with owned(tmp_path):
        with (
            pytest.raises(BatchHeld, match=f"process {os.getpid()}.*batch status"),
            owned(tmp_path),
        ):
            raise AssertionError("two own it")
        assert owner_of(tmp_path) == os.getpid()
    assert owner_of(tmp_path) is None


def test_a_process_that_is_killed_owns_nothing(tmp_path: Path) -> None:
    def hold(ready: int) -> None:
        with owned(tmp_path):
            os.write(ready, b".")
            os.read(never, 1)

    reading, writing = os.pipe()
    never, _never = os.pipe()
    child = multiprocessing.get_context("fork").Process(target=hold, args=(writing,))
    child.start()
    os.read(reading, 1)
    assert owner_of(tmp_path) == child.pid
    child.kill()
    child.join()
    with owned(tmp_path):
        pass
    for handle in (reading, writing, never, _never):
        os.close(handle)


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    with owned(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("what", ["file", "link"])
def test_what_is_no_folder_is_not_owned(tmp_path: Path, what: str) -> None:
    path = tmp_path / "out"
    if what == "file":
        path.write_text("something")
    else:
        (tmp_path / "other").mkdir()
        path.symlink_to("other")
    with pytest.raises(UsageError, match="not a directory"), owned(path):
        raise AssertionError("owned")
