"""Which call wrote a line, and which lines a call wrote."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from agent.record.store import STEPS, runs_directory
from fakes.model import call, say
from fakes.reviews import FakeReview, recorded
from fakes.runs import FakeRun
from policies.policy import Policy


@pytest.fixture
def browser(tmp_path: Path) -> TestClient:
    return FakeReview(home=tmp_path).browser()


@pytest.fixture
def run(tmp_path: Path, policy: Policy) -> str:
    fake = FakeRun(home=tmp_path, policy=policy, files={"a.py": b"one\ntwo\nthree\n"})
    return recorded(
        fake,
        call("bash", command="cat a.py"),
        call("edit_file", path="a.py", old_string="two", new_string="2"),
        call("write_file", path="b.py", content="<b>\n"),
        say("done"),
    )


def test_an_added_line_names_its_call(browser: TestClient, run: str) -> None:
    answer = browser.get(f"run/{run}/why/1/new/2").text
    assert "Call 2 wrote it." in answer
    assert "edit a.py" in answer
    assert f"/run/{run}/call/2" in answer


def test_a_removed_line_names_the_call_that_removed_it(browser: TestClient, run: str) -> None:
    assert "Call 2 removed it." in browser.get(f"run/{run}/why/1/old/2").text


def test_a_line_that_stood_there_has_no_writer(browser: TestClient, run: str) -> None:
    assert "no call touched it" in browser.get(f"run/{run}/why/1/new/1").text


def test_a_line_that_nobody_was_seen_to_write_is_said_so(
    browser: TestClient, run: str, tmp_path: Path
) -> None:
    events = runs_directory(tmp_path) / run / "events.jsonl"
    kept = [
        line
        for line in events.read_text().splitlines(keepends=True)
        if '"changes_tracked"' not in line
    ]
    assert len(kept) > 3
    events.write_text("".join(kept))
    # A record that does not hold together names nobody either.
    assert "can&#39;t be told" in browser.get(f"run/{run}/why/1/new/2").text


def test_without_the_contents_between_its_single_lines_are_not_told(
    browser: TestClient, run: str, tmp_path: Path
) -> None:
    assert (runs_directory(tmp_path) / run / STEPS).is_dir()
    answer = browser.get(f"run/{run}/why/2/new/1").text
    assert "Call 3 wrote it." in answer


def test_a_call_names_the_lines_it_wrote(browser: TestClient, run: str) -> None:
    page = browser.get(f"run/{run}/call/2").text
    assert "a.py, line 2</a>" in page
    assert "#part-1-2" in page
    assert "b.py, line" not in page
    nothing = browser.get(f"run/{run}/call/1").text
    assert "None: what it wrote" in nothing


@pytest.mark.parametrize("place", ["call/99", "why/9/new/1", "why/1/both/1", "why/1/new/-1"])
def test_what_is_not_there_is_not_found(browser: TestClient, run: str, place: str) -> None:
    assert browser.get(f"run/{run}/{place}").status_code == 404
