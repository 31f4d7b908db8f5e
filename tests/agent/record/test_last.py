"""Which run ``last`` is: the newest of the workspace that a person stands in, or of all."""

import json
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.record.runs import find_id, last_of


def run(home: Path, name: str, workspace: object) -> None:
    folder = home / "runs" / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"workspace": workspace, "task": '"/w/a"'}))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name, place in (("1", "/w"), ("2", "/w/a"), ("3", "/w/a"), ("4", "/w/b"), ("5", "/else")):
        run(tmp_path, name, place)
    return tmp_path


@pytest.mark.parametrize(
    ("around", "found"),
    [
        ("/w/a", "3"),
        ("/w/a/deep/down", "3"),
        ("/w/b", "4"),
        ("/w/c", "1"),
        ("/w", "1"),
        ("/w/ab", "1"),
        ("/nowhere", "5"),
        ("/", "5"),
    ],
)
def test_the_innermost_workspace_around_counts(home: Path, around: str, found: str) -> None:
    assert find_id(home, "last", around=Path(around)) == found


def test_outside_of_any_workspace_it_is_the_newest_of_all(home: Path) -> None:
    assert find_id(home, "last") == "5"
    assert last_of(home, Path("/nowhere")) is None


def test_a_run_that_wrote_no_word_is_not_the_newest(home: Path) -> None:
    (home / "runs" / "9").mkdir()
    (home / "runs" / "9" / "events.jsonl").touch()
    assert find_id(home, "last") == "5"
    (home / "runs" / "9" / "events.jsonl").write_text("{")
    assert find_id(home, "last") == "9"


@pytest.mark.parametrize("summary", [b"{", b"[]", b"\xff", b'["/w/b"]', b'{"workspace": ["/w/b"]}'])
def test_what_can_not_be_read_is_no_run_of_this_place(home: Path, summary: bytes) -> None:
    run(home, "9", "/w/b")
    (home / "runs" / "9" / "run.json").write_bytes(summary)
    assert find_id(home, "last", around=Path("/w/b")) == "4"


def test_a_name_with_any_character_is_compared_as_it_is(home: Path) -> None:
    place = Path('/w/"ü\n\\')
    run(home, "0", str(place))
    assert find_id(home, "last", around=place) == "0"


def test_what_is_none_is_met_with_the_nearest(home: Path) -> None:
    run(home, "20260101-000000-aaaaaaaa", "/w")
    with pytest.raises(UsageError, match="did you mean `20260101-000000-aaaaaaaa`"):
        find_id(home, "20260101-000000-aaaaaaab")
    with pytest.raises(UsageError, match="did you mean `last`"):
        find_id(home, "lst")
