"""A second opinion on the pages: its verdict on top, its concerns at their lines."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.models.interface import Reply
from agent.review.pages.report import render
from agent.review.server.routes_diff import LAYOUT_COOKIE
from fakes.model import ToldModel, call, say
from fakes.reviews import FakeReview, recorded
from fakes.runs import FakeRun
from fakes.second_opinions import asking, opinion, saying
from policies.policy import Policy

CODE = "".join(f"line {number}\n" for number in range(1, 41))
EDIT = call("edit_file", path="a.py", old_string="line 20\n", new_string="LINE 20\n")
SAID = opinion(
    "reject",
    reason="No <b>good</b>.",
    concerns=[
        {"concern": "shouted", "file": "a.py", "line": 20},
        {"concern": "far away", "file": "a.py", "line": 2},
        {"concern": "of the file", "file": "a.py"},
        {"concern": "of all"},
    ],
    missed=["a test"],
)

Made = Callable[[Reply], FakeRun]


@pytest.fixture
def made(tmp_path: Path, policy: Policy) -> Made:
    def make(said: Reply) -> FakeRun:
        return FakeRun(
            home=tmp_path,
            policy=asking(policy),
            files={"a.py": CODE.encode()},
            reviewer=saying(said),
        )

    return make


def report(fake: FakeRun) -> str:
    return render(fake.go(ToldModel(EDIT, say("Done."))), fake.run.journal.log)


def at_its_line(page: str) -> tuple[str, str]:
    """What stands above the row of a concern, and that row; above is the line that it is about."""
    (above, row) = page.split("<tr class=opinion-row>")
    assert "LINE" in above[-300:]
    return above, row.partition("</table>")[0]


def test_the_report_has_it_all_and_each_concern_at_its_line(made: Made) -> None:
    page = report(made(SAID))
    assert "rejected by a reviewer" in page
    assert "No &lt;b&gt;good&lt;/b&gt;." in page
    assert "a test" in page
    assert "of all" in page
    above, below = at_its_line(page)
    assert "shouted" in below
    for elsewhere in ("far away", "of the file"):
        assert elsewhere not in below
        assert elsewhere in above


@pytest.mark.parametrize("layout", ["unified", "split"])
def test_the_page_has_each_concern_once_and_at_its_line(made: Made, layout: str) -> None:
    fake = made(SAID)
    run = recorded(fake, EDIT, say("Done."))
    browser = FakeReview(home=fake.home).browser()
    browser.cookies.set(LAYOUT_COOKIE, layout)
    page = browser.get(f"run/{run}/diff").text
    assert page.count("shouted") == page.count("far away") == page.count("of the file") == 1
    assert "shouted" in at_its_line(page)[1]
    overview = browser.get(f"run/{run}").text
    assert f'/run/{run}/diff#part-1-20">a.py:20</a>' in overview


def test_an_approval_is_said_and_nothing_refused(made: Made) -> None:
    page = report(made(opinion("approve")))
    assert "approved by a reviewer" in page
    assert "not-approved" not in page


def test_what_must_be_approved_and_is_not_is_let_pass_by_name_alone(
    tmp_path: Path, policy: Policy
) -> None:
    fake = FakeRun(
        home=tmp_path,
        policy=asking(policy, require=True),
        files={"a.py": CODE.encode()},
        reviewer=saying(SAID),
    )
    run = recorded(fake, EDIT, say("Done."))
    browser = FakeReview(home=fake.home).browser()
    assert 'value="not-approved"' in browser.get(f"run/{run}/decide").text
    assert "LINE" in browser.get(f"run/{run}/diff").text, "the patch is there to be read"


def test_that_there_is_none_is_said_with_the_reason(made: Made) -> None:
    page = report(made(say("")))
    assert "no second opinion" in page
    assert "a defect" in page  # the reviewer of this test has nothing more to say
    assert "not-approved" in page


def test_what_a_secret_is_blotted_out_of_is_the_opinion_too(tmp_path: Path, policy: Policy) -> None:
    key = "AKIA" + "Q" * 16
    said = opinion(
        "reject",
        reason=f"the key {key}",
        concerns=[{"concern": f"{key} again", "file": "k.py", "line": 1}, {"concern": key}],
        missed=[key],
    )
    fake = FakeRun(home=tmp_path, policy=asking(policy), files={}, reviewer=saying(said))
    write = call("write_file", path="k.py", content=f"key = '{key}'\n")
    run = recorded(fake, write, say("Done."))
    browser = FakeReview(home=fake.home).browser()
    for place in (f"run/{run}", f"run/{run}/diff", f"run/{run}/timeline"):
        assert key not in browser.get(place).text, place
    assert key not in (fake.record.directory / "report.html").read_text()
