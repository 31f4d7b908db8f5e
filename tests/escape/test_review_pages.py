"""Pages of a review of a run that attacks them (`page_attacks`), looked at without a browser.

`make test-browser` has a real one open the same pages.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from agent.record.store import REPORT, runs_directory
from agent.review.decide.applying import apply_accepted
from agent.review.decide.outcome import ApplyOrder
from agent.review.decide.store import MarkedPatch
from fakes.reviewed import SMALL, reviewed_run
from fakes.reviews import FakeReview, recorded
from fakes.runs import FakeRun
from fakes.second_opinions import asking
from generators.page_attacks import attacks, reviewer, steps, task
from policies.loading import load

_TAGS = frozenset(
    re.findall(
        r"\w+",
        "html head meta title link script style body a nav main header p h1 h2 h3 h4 h5 h6 div "
        "span button input label details summary table tr td th thead tbody col ol ul li pre code "
        "em strong blockquote hr br b i dl dt dd section figure figcaption footer form textarea "
        "select option template caption small",
    )
)
_ATTRIBUTES = re.compile(
    r"(aria|data)-[a-z-]+|id|class|href|name|content|charset|nonce|rel|src|defer|lang|http-equiv|"
    r"type|title|open|tabindex|role|colspan|for|value|placeholder|autocomplete|spellcheck|download|"
    r"checked|disabled|selected|rows|maxlength|required|hidden|method|scope|pattern|alt|action"
)

_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f\x85\u200b\u2028\u2029\u202e\u2066\ufeff]")


class Seen(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> FakeRun:
    home = tmp_path_factory.mktemp("attacked")
    fake = FakeRun(
        home=home,
        policy=asking(load("default")),
        files={"a.py": b"one\n"},
        reviewer=reviewer(),
    )
    recorded(fake, *steps(), task=task())
    return fake


@pytest.fixture(scope="module")
def browser(attacked: FakeRun) -> TestClient:
    return FakeReview(home=attacked.home).browser()


def pages(run: str) -> Iterator[str]:
    for part in ("", "/diff", "/diff?all", "/cards", "/timeline", "/decide", "/events"):
        yield f"run/{run}{part}"
    for number in range(1, 2 * len(attacks()) + 1):
        yield f"run/{run}/file/{number}"
    yield "runs"
    yield f"run/{run}/why/1/new/1"
    for number in range(1, 9):
        yield f"run/{run}/call/{number}"


def assert_is_ours(page: str, base: str) -> None:
    """Nothing in it comes from anybody else, and nothing in it acts."""
    for tag, attributes in Seen(page).tags:
        assert tag in _TAGS, tag
        for name, value in attributes.items():
            assert _ATTRIBUTES.fullmatch(name), (tag, name, value)
            if name in {"href", "src", "action", "data-lines", "data-why", "data-live"}:
                assert value is not None
                assert value.startswith((f"{base}/", "#")) or not value, (tag, name, value)
        assert tag != "script" or attributes.get("nonce")
    assert not _ACTING.search(page)


def test_there_are_enough_attacks() -> None:
    assert len(attacks()) >= 60


@pytest.mark.slow
def test_no_page_holds_what_an_attacker_wrote_as_anything_but_text(
    attacked: FakeRun, browser: TestClient
) -> None:
    base = "/" + str(browser.base_url).rstrip("/").rpartition("/")[2]
    seen = 0
    for place in pages(attacked.record.run_id):
        answer = browser.get(place)
        assert answer.status_code == 200, place
        assert "script-src 'nonce-" in answer.headers["content-security-policy"]
        assert_is_ours(answer.text, base)
        seen += answer.text.count("canary")
    # They were there to be seen.
    assert seen > 20 * len(attacks())


def test_what_is_said_and_done_while_deciding_is_text_too(tmp_path: Path) -> None:
    """Comments, what a check prints, lines in conflict, what was decided: all of them hostile."""
    rows = "".join(text.replace("\n", " ") + "\n" for text in attacks().values())
    (tmp_path / "rows").write_text(rows)
    check = f"cat {tmp_path}/rows; grep -q two notes.txt"
    reviewed = reviewed_run(tmp_path, load("default"), work=SMALL, verify=check)
    review = FakeReview(home=reviewed.home, operator=reviewed.operator)
    browser = review.browser()
    run, base = f"run/{reviewed.run.id}", review.session.base
    of = MarkedPatch(run=reviewed.run.id, patch=reviewed.run.summary.patch_sha256 or "")
    for text in attacks().values():
        review.desk.store.comment(of, b"code.py", side="new", line=1, text=text, by=text)
    marks = browser.get(f"{run}/marks")
    assert marks.headers["content-type"] == "application/json"
    said = "".join(one["text"] + one["by"] for one in marks.json()["comments"])
    assert said.count("canary") > len(attacks())
    assert not _ACTING.search(said.replace("\n", ""))

    def applied(key: str, **order: Any) -> str:
        action = review.desk.board.begin(
            reviewed.run.id,
            key,
            "apply",
            lambda watch: apply_accepted(
                reviewed.run.directory, ApplyOrder(**order), reviewed.operator, watch
            ),
        )
        action.join()
        state = browser.get(f"{run}/action").json()
        assert not _ACTING.search(state["text"].replace("\n", "")), "what the check printed"
        page = browser.get(f"{run}/action/result").text
        assert_is_ours(page, base)
        return page

    one_hunk = {b"code.py": frozenset({1})}
    assert applied("1", choice=one_hunk).count("canary") >= len(attacks())
    done = applied("2", choice=one_hunk, unverified=True, reason=rows)
    assert "applied" in done
    page = browser.get(f"{run}/decide").text
    assert page.count("canary") >= len(attacks())
    assert_is_ours(page, base)
    (reviewed.workspace / "code.py").write_text(rows.replace("\0", ""))
    conflict = applied("3", choice={b"code.py": frozenset({2})}, three_way=True)
    assert "does not fit" in conflict
    assert conflict.count("canary") >= len(attacks())
    review.desk.close()


@pytest.mark.slow
def test_the_written_report_neither(attacked: FakeRun) -> None:
    page = runs_directory(attacked.home) / attacked.record.run_id / REPORT
    text = page.read_text("utf-8")
    assert_is_ours(text, "#")
    assert "<script" not in text
    assert text.count("canary") > 3 * len(attacks())


def test_what_is_looked_for_would_be_found() -> None:
    for text in ("<script>x</script>", "<p onclick=x>", "<a href=//canary.invalid/x>", "\u202e"):
        with pytest.raises(AssertionError):
            assert_is_ours(text, "/base")
