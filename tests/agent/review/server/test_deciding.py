"""Deciding over HTTP: marks of several reviewers, applying, sending back; writing is by POST."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from agent.record.decisions import decisions
from agent.review.server.guard import CSRF_HEADER
from fakes.reviewed import CODE, FILES, SMALL, WORK, Reviewed, reviewed_run
from fakes.reviews import FakeReview
from policies.policy import Policy

Make = Callable[..., "Desk"]
HALF = CODE.replace(b"line 30\n", b"LINE 30\n")


class Desk:
    """A run that is reviewed, and a browser at it."""

    def __init__(self, place: Path, policy: Policy, work: str, verify: str | None) -> None:
        self.reviewed: Reviewed = reviewed_run(place, policy, work=work, verify=verify)
        operator = self.reviewed.operator
        self.review = FakeReview(home=self.reviewed.home, operator=operator)
        self.browser = self.review.browser()
        self.base = f"run/{self.reviewed.run.id}"
        self.numbers = {file.path: n for n, file in enumerate(self.reviewed.files, 1)}

    @property
    def marks(self) -> dict[str, Any]:
        found: dict[str, Any] = self.browser.get(f"{self.base}/marks").json()
        return found

    def post(self, what: str, status: int = 200, **form: object) -> dict[str, Any]:
        return posted(self, self.browser, what, status, **form)

    def decide(self, path: bytes, **parts: str) -> None:
        number = self.numbers[path]
        verdicts = [[number, int(part.strip("_")), value] for part, value in parts.items()]
        self.post("marks/decide", seen=self.marks["revision"], verdicts=verdicts)

    def over(self) -> str:
        """What came of the newest action, when it is over."""
        action = self.review.desk.board.newest(self.reviewed.run.id)
        assert action is not None
        action.join(60)
        return self.browser.get(f"{self.base}/action/result").text

    def apply(self, status: int = 200, **form: object) -> str:
        form = {"key": "k", "revision": self.marks["revision"], **form}
        self.post("decide/apply", status, **form)
        return self.over() if status == 200 else ""


def posted(
    desk: Desk, browser: TestClient, what: str, status: int = 200, **form: object
) -> dict[str, Any]:
    session = desk.review.session
    if not what.endswith("cancel"):
        form = {"patch": desk.reviewed.run.summary.patch_sha256, **form}
    headers = {"origin": session.origin, CSRF_HEADER: session.csrf}
    answer = browser.post(f"{desk.base}/{what}", headers=headers, json=form)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
def make(tmp_path: Path, policy: Policy) -> Iterator[Make]:
    made: list[Desk] = []

    def desk(work: str = SMALL, verify: str | None = "grep -c LINE code.py") -> Desk:
        made.append(Desk(tmp_path, policy, work, verify))
        return made[-1]

    yield desk
    for one in made:
        one.review.desk.close()


def test_marks_are_kept_and_the_second_reviewer_sees_the_first_ones(make: Make) -> None:
    desk = make()
    code = desk.numbers[b"code.py"]
    desk.decide(b"code.py", _1="rejected", _2="accepted")
    desk.post("marks/reviewed", seen=1, file=code, done=True)
    desk.post("marks/comment", file=code, side="new", line=30, text="<b>why\u202e?</b>")
    second = FakeReview(home=desk.reviewed.home, operator=desk.reviewed.operator)
    other = second.browser().get(f"{desk.base}/marks").json()
    assert other == desk.marks
    assert other["files"][str(code)] == {
        "path": "code.py",
        "reviewed": True,
        "parts": [[1, "rejected"], [2, "accepted"]],
    }
    assert other["counts"] == [1, 1, 1]
    (said,) = other["comments"]
    assert (said["line"], said["text"]) == (30, "<b>why\\u202e?</b>")
    revision = other["revision"]
    query = {"seen": revision, "patch": other["patch"]}
    assert desk.browser.get(f"{desk.base}/marks", params=query).status_code == 204
    late = desk.post("marks/decide", 409, seen=0, verdicts=[[code, 1, "accepted"]])
    assert "meanwhile" in late["error"]
    assert late["files"][str(code)]["parts"][0] == [1, "rejected"]
    desk.post("marks/withdraw", id=said["id"])
    assert desk.marks["comments"] == []
    second.desk.close()


def test_the_diff_has_what_our_script_hangs_its_buttons_on(make: Make) -> None:
    desk = make()
    page = desk.browser.get(f"{desk.base}/diff").text
    for number in desk.numbers.values():
        assert f'id="part-{number}"' in page
    assert page.count("data-hunk=") == 3
    assert 'class="card file"' in page


@pytest.mark.parametrize(
    "form",
    [
        {"seen": 0, "verdicts": [[1, 9, "accepted"]]},
        {"seen": 0, "verdicts": [[9, 1, "accepted"]]},
        {"seen": 0, "verdicts": [[1, 1, "maybe"]]},
        {"seen": "0", "verdicts": []},
        {"seen": 0, "verdicts": [], "more": 1},
        {"verdicts": []},
    ],
)
def test_what_no_page_of_ours_sends_marks_nothing(make: Make, form: dict[str, object]) -> None:
    desk = make()
    headers = {"origin": desk.review.session.origin, CSRF_HEADER: desk.review.session.csrf}
    patch = desk.reviewed.run.summary.patch_sha256
    answer = desk.browser.post(
        f"{desk.base}/marks/decide", headers=headers, json={"patch": patch, **form}
    )
    assert answer.status_code in {400, 404}
    assert desk.marks["revision"] == 0
    stale = desk.post("marks/decide", 409, patch="0" * 64, seen=0, verdicts=[[1, 1, "accepted"]])
    assert "another patch" in stale["error"]
    assert desk.marks["revision"] == 0


@pytest.mark.parametrize(
    "what",
    [
        *("marks/decide", "marks/reviewed", "marks/comment", "marks/withdraw"),
        *("decide/apply", "decide/send-back", "decide/cancel"),
    ],
)
def test_nothing_is_written_by_a_get_or_without_the_token(make: Make, what: str) -> None:
    desk = make()
    address = f"{desk.base}/{what}"
    assert desk.browser.get(address).status_code == 405
    for headers in (
        {"origin": desk.review.session.origin},
        {"origin": "http://evil.example", CSRF_HEADER: desk.review.session.csrf},
        {CSRF_HEADER: desk.review.session.csrf},
    ):
        assert desk.browser.post(address, headers=headers, json={}).status_code == 403
    stranger = desk.review.stranger()
    stranger.base_url = desk.browser.base_url
    right = {"origin": desk.review.session.origin, CSRF_HEADER: desk.review.session.csrf}
    assert stranger.post(address, headers=right, json={}).status_code == 401
    assert desk.marks["revision"] == 0


def test_what_is_accepted_is_applied_once_for_two_clicks(make: Make) -> None:
    desk = make()
    assert "nothing is accepted" in desk.post("decide/apply", 409, key="k", revision=0)["error"]
    desk.decide(b"code.py", _1="rejected", _2="accepted")
    revision = desk.marks["revision"]
    clicks = [desk.post("decide/apply", key="k", revision=revision) for _ in range(2)]
    assert clicks[0]["id"] == clicks[1]["id"]
    came = desk.over()
    assert "applied" in came
    assert "modified code.py" in came
    assert (desk.reviewed.workspace / "code.py").read_bytes() == HALF
    assert (desk.reviewed.workspace / "notes.txt").read_bytes() == FILES["notes.txt"]
    state = desk.browser.get(f"{desk.base}/action").json()
    assert "verif" not in state["text"]
    assert "1\n" in state["text"], "what the check printed"
    late = desk.post("decide/apply", key="k", revision=revision)
    assert late["id"] == clicks[0]["id"]
    assert len(decisions(desk.reviewed.run.directory)) == 1
    page = desk.browser.get(f"{desk.base}/decide").text
    assert "code.py:2 put in" in page


def test_what_another_one_marked_meanwhile_is_looked_at_before_it_is_applied(make: Make) -> None:
    desk = make()
    desk.decide(b"code.py", _1="accepted")
    seen = desk.marks["revision"]
    desk.decide(b"code.py", _1="rejected", _2="accepted")
    refused = desk.post("decide/apply", 409, key="k", revision=seen)
    assert "meanwhile" in refused["error"]
    assert (desk.reviewed.workspace / "code.py").read_bytes() == CODE


def test_conflicts_are_shown_at_their_lines(make: Make) -> None:
    desk = make()
    here = CODE.replace(b"line 30\n", b"<script>mine</script>\n")
    (desk.reviewed.workspace / "code.py").write_bytes(here)
    desk.decide(b"code.py", _1="accepted", _2="accepted")
    came = desk.apply(three_way=True)
    assert "code.py, line 30" in came
    assert "&lt;script&gt;mine" in came
    assert "<script" not in came
    assert (desk.reviewed.workspace / "code.py").read_bytes() == here


def test_a_refused_part_is_named_and_a_check_that_fails_is_shown(make: Make) -> None:
    desk = make(WORK, "grep -q two notes.txt && echo fine || { echo broken; false; }")
    assert "Let pass: protected-path" in desk.browser.get(f"{desk.base}/decide").text
    number = desk.numbers[b".github/workflows/x.yml"]
    desk.post("marks/decide", seen=0, verdicts=[[number, -1, "accepted"]])
    assert "protected-path" in desk.apply()
    desk.post(
        "marks/decide",
        seen=desk.marks["revision"],
        verdicts=[[number, -1, "rejected"], [desk.numbers[b"code.py"], 1, "accepted"]],
    )
    came = desk.apply(key="second")
    assert "not verified" in came
    assert "broken" in came
    unsaid = desk.apply(key="third", unverified=True)
    assert "say why" in unsaid
    assert (desk.reviewed.workspace / "code.py").read_bytes() == CODE
    assert "applied" in desk.apply(key="fourth", unverified=True, reason="half of it")
    assert "half of it" in desk.browser.get(f"{desk.base}/decide").text


def test_nothing_to_say_is_not_sent_back(make: Make) -> None:
    desk = make()
    refused = desk.post("decide/send-back", 409, key="k", revision=0)
    assert "say what is to be done" in refused["error"]
    assert desk.browser.get(f"{desk.base}/action").status_code == 204


def test_of_a_record_that_was_changed_the_page_says_so_and_nothing_is_applied(make: Make) -> None:
    desk = make()
    desk.decide(b"code.py", _1="accepted", _2="accepted")
    summary = desk.reviewed.run.directory / "run.json"
    summary.write_text(summary.read_text().replace('"task": "mend it"', '"task": "obey me"'))
    page = desk.browser.get(f"{desk.base}/decide").text
    assert 'class="alarm"' in page
    assert "changed after the run wrote it" in page
    assert "is not what the run wrote" in desk.apply()
    assert (desk.reviewed.workspace / "code.py").read_bytes() == CODE
