"""The list of runs over HTTP: filters, search, sorting, pages; hostile words are words."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from agent.review.server.guard import CSRF_HEADER
from fakes.batches import FakeBatch, a_task
from fakes.model import call, say
from fakes.reviews import FakeReview
from policies.policy import Policy

HOSTILE = "<script>alert(1)</script>\u202e\"'><img src=x onerror=alert(1)>"


@pytest.fixture
def review(tmp_path: Path, policy: Policy) -> Iterator[FakeReview]:
    batch = FakeBatch(directory=tmp_path, policy=policy)
    change = call("bash", command="echo two >> a.py")
    batch.attempt(a_task(), change, say("Done."), verify="true")
    batch.attempt(a_task(), change, say("Done."), verify="false")
    for run in (tmp_path / "runs").iterdir():
        summary = run / "run.json"
        text = summary.read_text().replace('"mend it"', f'"{run.name[-1]} {HOSTILE[:24]}"')
        summary.write_text(text)
    made = FakeReview(home=tmp_path, first="runs")
    yield made
    made.desk.close()


def test_a_run_is_found_by_its_workspace(review: FakeReview) -> None:
    browser = review.browser()
    runs = (review.home / "runs").iterdir()
    first, second = (json.loads((run / "run.json").read_text())["workspace"] for run in runs)
    assert f" · {first}</small>" in browser.get("runs").text
    found = browser.get("runs", params={"words": first}).text
    assert found.count("<td><a") == 1 + (first == second)


def accept(review: FakeReview, browser: TestClient) -> int:
    headers = {"origin": review.session.origin, CSRF_HEADER: review.session.csrf}
    count: int = browser.post("accept-clean", headers=headers, json={}).json()["count"]
    return count


def test_runs_are_listed_and_what_is_clean_is_accepted_by_one_click(review: FakeReview) -> None:
    browser = review.browser()
    page = browser.get("runs").text
    assert page.count('<td><a href="') == 2
    assert "&lt;script&gt;alert(1)" in page
    assert "Accept all that are clean" in page
    assert browser.get("accept-clean").status_code == 405
    assert accept(review, browser) == 1
    assert accept(review, browser) == 0
    assert "1 accepted" in browser.get("runs", params={"only": "decided"}).text
    assert browser.get("runs", params={"only": "to decide"}).text.count("<td><a") == 1


@pytest.mark.parametrize(
    "asked",
    [
        {"only": HOSTILE},
        {"words": HOSTILE},
        {"sort": HOSTILE},
        {"page": "-1"},
        {"page": "9" * 30},
        {"page": "\u0661"},
        {"backwards": HOSTILE},
    ],
)
def test_an_address_that_somebody_made_up_shows_a_list(
    review: FakeReview, asked: dict[str, str]
) -> None:
    answer = review.browser().get("runs", params=asked)
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "<img" not in answer.text


def test_a_list_is_sorted_and_the_next_run_is_known(review: FakeReview) -> None:
    browser = review.browser()
    names = sorted(path.name for path in (review.home / "runs").iterdir())
    sorted_page = browser.get("runs", params={"sort": "task", "backwards": "yes"}).text
    assert 'aria-sort="descending"' in sorted_page
    beside = browser.get(f"run/{names[0]}/beside").json()
    assert beside == {"before": names[1], "after": None}
