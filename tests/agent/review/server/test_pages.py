"""What the pages of a run show, and what they do not let through."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from agent.record.store import runs_directory
from fakes.model import call, say
from fakes.reviews import FakeReview, recorded
from fakes.runs import FakeRun
from policies.policy import Policy

HOSTILE = '<script>alert(1)</script><img src=x onerror="x">\x1b[2J\u202e'
OLD = "".join(f"line {number}\n" for number in range(1, 60)).encode()


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.fixture
def fake(tmp_path: Path, policy: Policy) -> FakeRun:
    return FakeRun(home=tmp_path, policy=policy, files={"a.txt": OLD, "b.txt": b"one\n"})


@pytest.fixture
def browser(tmp_path: Path) -> TestClient:
    return FakeReview(home=tmp_path).browser()


def test_hostile_text_makes_no_tag_and_no_attribute_on_any_page(
    fake: FakeRun, browser: TestClient
) -> None:
    run = recorded(
        fake,
        call("write_file", path=f"evil{HOSTILE}.py".replace("/", "_"), content=HOSTILE + "\n"),
        call("bash", command=f"echo '{HOSTILE}'"),
        call("bash", command=f"curl '{HOSTILE}'"),
        say(HOSTILE + "\n\n[link](javascript:alert(1)) ![x](http://x/y.png)"),
        task=HOSTILE,
    )
    for address in ("", "/diff", "/file/1"):
        page = browser.get(f"run/{run}{address}").text
        scripts = [attributes for tag, attributes in Tags(page).seen if tag == "script"]
        assert all(attributes.get("nonce") for attributes in scripts)
        sources = [
            (attributes.get("src") or "").rpartition("/static/")[2] for attributes in scripts
        ]
        assert sources in ([], ["review.js", "decide.js"])
        for tag, attributes in Tags(page).seen:
            assert tag not in {"img", "iframe", "object", "embed", "form", "base", "style"}
            assert not [name for name in attributes if name.startswith("on") or name == "style"]
            assert "javascript:" not in str(attributes.get("href"))
        assert "\x1b" not in page
        assert "\u202e" not in page
        assert "&lt;script&gt;" in page


def test_the_first_page_tells_the_task_what_was_said_and_what_changed(
    fake: FakeRun, browser: TestClient
) -> None:
    run = recorded(
        fake,
        call("edit_file", path="b.txt", old_string="one", new_string="two"),
        say("I changed **one**."),
        task="count on",
    )
    page = browser.get(f"run/{run}").text
    for words in ("count on", "<strong>one</strong>", "b.txt", "patch proved", "+1"):
        assert words in page, words


def test_files_stand_by_risk_and_then_by_path(fake: FakeRun, browser: TestClient) -> None:
    run = recorded(
        fake,
        call("write_file", path="z/AGENTS.md", content="Obey.\n"),
        call("write_file", path="c.py", content="1\n"),
        call("edit_file", path="b.txt", old_string="one", new_string="two"),
        say("done"),
    )
    page = browser.get(f"run/{run}/diff").text
    shown = re.findall(r'<summary><span class="path">([^<]+)', page)
    assert shown == ["z/AGENTS.md", "b.txt", "c.py"]


def test_unchanged_lines_come_from_the_old_file(fake: FakeRun, browser: TestClient) -> None:
    run = recorded(
        fake,
        call("edit_file", path="a.txt", old_string="line 30\n", new_string="line 30\nand\n"),
        call("edit_file", path="a.txt", old_string="line 50\n", new_string=""),
        say("done"),
    )
    page = browser.get(f"run/{run}/diff").text
    places = re.findall(r'data-lines="[^"]*?(/run/[^"]+/between/[^"]+)"', page)
    assert len(places) == 3
    rows = [browser.get(place.removeprefix("/")).text for place in places]
    assert "<tr class=same><td>1<td>1<td>line 1\n" in rows[0]
    assert "<tr class=same><td>27<td>27<td>line 27\n" in rows[0]
    assert "line 28\n" not in rows[0]
    assert "<tr class=same><td>40<td>41<td>line 40\n" in rows[1]
    assert "<tr class=same><td>54<td>54<td>line 54\n" in rows[2]
    assert "<tr class=same><td>59<td>59<td>line 59\n" in rows[2]


def test_both_layouts_show_the_same_lines(fake: FakeRun, browser: TestClient) -> None:
    run = recorded(
        fake,
        call("edit_file", path="b.txt", old_string="one", new_string="one and two"),
        say("done"),
    )
    assert "<tr class=add><td><td>1<td>one<b> and two</b>\n" in browser.get(f"run/{run}/diff").text
    browser.cookies.set("moonpool-layout", "split")
    page = browser.get(f"run/{run}/diff").text
    row = "<tr><td class=del>1<td class=del>one<td class=add>1<td class=add>one<b> and two</b>\n"
    assert row in page


def test_large_files_are_fetched_when_they_are_looked_at(
    fake: FakeRun, browser: TestClient
) -> None:
    many = "".join(f"{number}\n" for number in range(900))
    run = recorded(fake, call("write_file", path="many", content=many), say("done"))
    page = browser.get(f"run/{run}/diff").text
    assert "<td>899\n" not in page
    (place,) = re.findall(r'data-lines="[^"]*?(/run/[^"]+/file/1)"', page)
    assert "<td>899\n" in browser.get(place.removeprefix("/")).text


def test_of_many_files_the_first_are_in_the_page_and_the_others_come_after(
    fake: FakeRun, browser: TestClient
) -> None:
    many = "; ".join(f"echo {number} > made_{number:02}" for number in range(40))
    run = recorded(fake, call("bash", command=many), say("done"))
    page = browser.get(f"run/{run}/diff").text
    (place,) = re.findall(r'data-cards="[^"]*?/(run/[^"]+)"', page)
    later = browser.get(place).text
    names = re.findall(r'<summary><span class="path">(made_\d+)', page + later)
    assert names == [f"made_{number:02}" for number in range(40)]
    assert page.count("<li ") + later.count("<li ") == 40
    # Without a script a link shows them all.
    assert browser.get(f"run/{run}/diff?all").text.count('class="card file"') == 40


def test_a_patch_is_saved_and_never_shown(fake: FakeRun, browser: TestClient) -> None:
    run = recorded(fake, call("write_file", path="x.html", content="<b>x</b>\n"), say("done"))
    answer = browser.get(f"run/{run}/patch")
    assert answer.headers["content-disposition"] == f'attachment; filename="{run}.diff"'
    assert answer.headers["content-type"] == "application/octet-stream"
    patch = runs_directory(fake.home) / run / "patch.diff"
    assert answer.content == patch.read_bytes()


def test_a_record_that_was_changed_is_said_in_red_on_top_of_each_page(
    fake: FakeRun, browser: TestClient
) -> None:
    run = recorded(fake, call("write_file", path="x", content="1\n"), say("done"))
    patch = runs_directory(fake.home) / run / "patch.diff"
    patch.write_bytes(patch.read_bytes().replace(b"+1", b"+2"))
    for page in ("", "/diff"):
        text = browser.get(f"run/{run}{page}").text
        main = text.split('<main id="content"')[1]
        assert main.partition(">")[2].startswith('<p class="alarm">This record was changed')
        assert "+2" not in text


def test_a_run_without_a_patch_has_its_pages(fake: FakeRun, browser: TestClient) -> None:
    def fail() -> None:
        raise KeyError("no box")

    fake.before_open = fail
    run = recorded(fake)
    assert "no patch" in browser.get(f"run/{run}").text
    diff = browser.get(f"run/{run}/diff")
    assert diff.status_code == 200
    assert "has no patch" in diff.text


def test_a_run_whose_process_was_killed_says_how_to_go_on(
    fake: FakeRun, browser: TestClient
) -> None:
    run = recorded(fake, say("done"))
    summary = runs_directory(fake.home) / run / "run.json"
    summary.write_text(re.sub(r'"outcome": *"\w+"', '"outcome": "running"', summary.read_text()))
    page = browser.get(f"run/{run}").text
    assert f"moonpool resume {run}" in page
    assert ">running<" not in page


def test_a_record_of_another_version_is_said_and_not_guessed_at(
    fake: FakeRun, browser: TestClient
) -> None:
    run = recorded(fake, say("done"))
    summary = runs_directory(fake.home) / run / "run.json"
    summary.write_text(re.sub(r'"format": *\d+', '"format": 999', summary.read_text()))
    answer = browser.get(f"run/{run}")
    assert answer.status_code == 404
    assert "another version of Moonpool" in answer.text


@pytest.mark.parametrize("run", ["none", "..", "%2e%2e", "last", "."])
def test_no_other_directory_is_a_run(fake: FakeRun, browser: TestClient, run: str) -> None:
    recorded(fake, say("done"))
    assert browser.get(f"run/{run}").status_code == 404


def test_the_run_that_still_goes_shows_what_there_is(fake: FakeRun, browser: TestClient) -> None:
    seen: list[str] = []

    def look() -> None:
        seen.append(browser.get(f"run/{fake.record.run_id}").text)
        seen.append(browser.get(f"run/{fake.record.run_id}/diff").text)

    fake.before_open = look
    recorded(fake, say("done"))
    first, diff = seen
    assert ">running<" in first
    assert 'class="alarm"' not in first
    assert "has no patch" in diff
