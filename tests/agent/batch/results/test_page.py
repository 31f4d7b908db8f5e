"""``summary.html``: what a person finds in it, with its script and without."""

import base64
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import pytest

from agent.batch.attempt import AttemptResult, ErrorKind
from agent.batch.results.writing import write_all
from agent.batch.task import Task
from fakes.batches import FakeBatch, a_row, a_task
from fakes.model import call, say
from policies.policy import Policy

BEGAN = datetime(2026, 11, 29, 1, tzinfo=UTC)


def page_of(directory: Path, tasks: Sequence[Task], rows: Sequence[AttemptResult]) -> str:
    write_all(directory, tasks, rows, began=BEGAN)
    return (directory / "summary.html").read_text("utf-8")


def cells(page: str) -> list[list[str]]:
    """The table's rows as the texts of their cells."""
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    return [
        [unescape(re.sub("<[^>]*>", "", cell)) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)]
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", body)
    ]


def test_each_task_stands_in_the_table_with_what_it_came_to(tmp_path: Path) -> None:
    rows = [
        a_row("good", verified=True, turns=7, usd=0.25, seconds=200.0, patch_sha256=None),
        a_row(
            "bad",
            outcome="limit: turns",
            detail="60 turns are used up",
            error_kind=ErrorKind.AGENT,
            verified=False,
            worst_finding="danger",
            patch_sha256=None,
        ),
    ]
    page = page_of(tmp_path, [a_task("good"), a_task("bad"), a_task("later")], rows)
    assert cells(page) == [
        ["good", "finished", "yes", "", "7", "0.2500", "3 min 20 s", "report"],
        ["bad60 turns are used up", "limit: turns", "no", "danger", "0", "", "0 s", "report"],
        ["later", "not done", "", "", "", "", "", ""],
    ]
    assert "1 of 3 tasks finished" in page
    assert re.search(r"<dt>dollars</dt><dd>0\.25</dd>", page)
    assert re.search(r"<td>agent</td><td>limit: turns</td><td[^>]*>1</td>", page)


def test_every_attempt_has_its_report_and_the_choice_its_reason(
    tmp_path: Path, policy: Policy
) -> None:
    batch = FakeBatch(tmp_path, policy)
    task = a_task()
    rows = [
        batch.attempt(
            task,
            call("write_file", path="b", content=f"{number}\n"),
            say("x"),
            verify="grep -q 2 b",
            attempt=number,
        )
        for number in (1, 2)
    ]
    page = page_of(tmp_path, [task], rows)
    links = re.findall('href="([^"]*)"', page)
    assert links == [f"runs/{row.run_id}/report.html" for row in rows]
    assert all((tmp_path / link).is_file() for link in links)
    ((name, *_, reports),) = cells(page)
    assert "attempt 2 of 2: verified; attempt 1, the next best: its verification failed" in name
    assert reports == "#1report"


def test_policy_of_the_page_allows_its_own_script_and_style_and_no_others(tmp_path: Path) -> None:
    page = page_of(tmp_path, [a_task()], [a_row()])
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    allowed = dict(part.split(" ", 1) for part in unescape(policy).split("; "))
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert allowed.pop(directive) == f"'sha256-{digest}'"
    assert allowed == {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'"}
    assert page.index("Content-Security-Policy") < page.index("<style>")
    assert not re.search(r"url\(|@import|https?:|\bfetch\b|innerHTML|\beval\b", page)


def test_curves_end_at_what_was_done_and_spent(tmp_path: Path) -> None:
    rows = [
        a_row(f"t{n}", usd=0.5, started=f"2026-11-29T01:0{n}:00+00:00", seconds=30.0)
        for n in range(4)
    ]
    page = page_of(tmp_path, [a_task(row.task_id) for row in rows], rows)
    assert 'aria-label="Tasks done: from 0 to 4 in 3 min 30 s"' in page
    assert 'aria-label="Dollars: from 0 to 2.00 in 3 min 30 s"' in page
    assert 'd="M0 100H140.1V75.0H420.2V50.0H700.3V25.0H980.4V0.0H1000"' in page


@pytest.mark.parametrize("started", ["", "not a time", "2026-11-29", "1999-01-01T00:00:00+00:00"])
def test_time_that_is_none_or_lies_before_the_beginning_breaks_no_page(
    tmp_path: Path, started: str
) -> None:
    page = page_of(tmp_path, [a_task()], [a_row(started=started, usd=1.0)])
    assert len(cells(page)) == 1
    drawn = re.findall('<path d="([^"]*)"', page)
    assert all(re.fullmatch(r"M0 100(H\d+(\.\d)?|V\d+(\.\d)?)*Z?", path) for path in drawn)


def test_batch_of_which_nothing_is_done_has_a_page(tmp_path: Path) -> None:
    page = page_of(tmp_path, [a_task()], [])
    assert "0 of 1 tasks finished" in page
    assert "<svg" not in page


@pytest.mark.slow
def test_ten_thousand_tasks_are_all_in_a_page_of_bounded_size(tmp_path: Path) -> None:
    names = [f"task-{number}" for number in range(10_000)]
    rows = [a_row(name, patch_sha256=None, usd=0.01, turns=3) for name in names]
    page = page_of(tmp_path, [a_task(name) for name in names], rows)
    assert [row[0] for row in cells(page)] == names
    assert len(page) < 6_000_000
    (line,) = re.findall(r'<path d="(M0 100H[^"]*)" class="line"', page)[:1]
    assert line.count("V") <= 700, "a curve has no more points than a screen"
