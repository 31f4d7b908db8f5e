"""The whole way in a real browser: a hunk rejected, a comment, sent back, accepted, applied."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from fakes.reviews import ServedReview

Enter = Callable[[ServedReview], Page]
Serve = Callable[[Path, str], ServedReview]

CODE = "".join(f"def f{n}():\n    return {n}\n\n\n" for n in range(1, 31))
WORK = (
    "sed -i -e 's/return 1$/return 111/' -e 's/return 30$/return 3030/' code.py; "
    "echo two >> notes.txt"
)
MEND = "sed -i 's/return 3030$/return 31/' code.py"


def turn(text: str, command: str = "") -> dict[str, object]:
    calls = [{"tool": "bash", "arguments": {"command": command}}]
    return {"text": text, **({"calls": calls} if command else {})}


def script(path: Path, *turns: dict[str, object]) -> str:
    path.write_text(json.dumps({"version": 1, "turns": turns}))
    return f"script:{path}"


@pytest.fixture
def begun(tmp_path: Path, serve: Serve) -> ServedReview:
    """A run with a real engine, and its review."""
    workspace, home = tmp_path / "workspace", tmp_path / "home"
    for folder in (workspace, home):
        folder.mkdir()
    (workspace / "code.py").write_text(CODE)
    (workspace / "notes.txt").write_text("one\n")
    model = script(tmp_path / "first.yaml", turn("I change it.", WORK), turn("Done."))
    check = "echo checking; python3 -c 'import code'"
    subprocess.run(
        [
            *(str(Path(sys.executable).with_name("moonpool")), "run", "mend it", "-m", model),
            *("-w", str(workspace), "--verify", check),
        ],
        env={"MOONPOOL_HOME": str(home), "PATH": os.environ["PATH"], "HOME": str(home)},
        check=True,
        capture_output=True,
    )
    return serve(home, max(path.name for path in (home / "runs").iterdir()))


def test_from_a_run_to_what_is_applied(begun: ServedReview, enter: Enter, tmp_path: Path) -> None:
    page = enter(begun)
    page.goto(begun.of("/diff"))
    card = page.locator(".card.file", has_text="code.py").first
    card.locator("tr[data-hunk='2'] button.rejected").click()
    expect(card.locator("tr[data-hunk='2'][data-verdict=rejected]")).to_have_count(1)
    card.locator("tr[data-hunk='1'] button.accepted").click()
    card.locator("tr.add").last.hover()
    card.locator(".plus-line").click()
    page.keyboard.type("31, <b>not</b> 3030")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".note-row .said .words")).to_have_text("31, <b>not</b> 3030")
    page.reload()
    expect(page.locator(".note-row .said .words")).to_have_text("31, <b>not</b> 3030")
    expect(card.locator("tr[data-hunk='2'][data-verdict=rejected]")).to_have_count(1)

    page.goto(begun.of("/decide"))
    expect(page.locator("#tally")).to_have_text("1 accepted · 1 rejected · 1 undecided")
    past = turn("past")
    model = script(tmp_path / "then.yaml", past, past, turn("You are right.", MEND), turn("Done."))
    page.fill("#send-back-form [name=model]", model)
    page.click("#send-back-form [type=submit]")
    page.wait_for_url("**/timeline", timeout=60_000)
    second = page.url.removesuffix("/timeline")
    assert begun.run not in second
    expect(page.locator("body")).to_contain_text("You are right.", timeout=60_000)

    def is_over() -> bool:
        page.goto(f"{second}/decide")
        return bool(page.locator("#tally").count())

    while not is_over():
        page.wait_for_timeout(200)
    expect(page.locator("#tally")).to_have_text("0 accepted · 0 rejected · 3 undecided")
    page.click("#accept-all")
    expect(page.locator("#tally")).to_have_text("3 accepted · 0 rejected · 0 undecided")
    page.dblclick("#apply-form [type=submit]")
    expect(page.locator("#action .badge.good").first).to_have_text("applied", timeout=60_000)
    expect(page.locator("#action pre").first).to_contain_text("checking")
    workspace = tmp_path / "workspace"
    expected = CODE.replace("return 1\n", "return 111\n").replace("return 30\n", "return 31\n")
    assert (workspace / "code.py").read_text() == expected
    assert (workspace / "notes.txt").read_text() == "one\ntwo\n"
    kept = Path(tmp_path / "home" / "runs" / second.rpartition("/")[2] / "decisions.jsonl")
    assert len(kept.read_text().splitlines()) == 1, "two clicks apply once"


def test_the_second_reviewer_sees_the_first_ones_marks(
    ordinary: ServedReview, enter: Enter, chromium: Browser
) -> None:
    page = enter(ordinary)
    page.goto(ordinary.of("/diff"))
    context = chromium.new_context()
    context.add_cookies(page.context.cookies())
    other = context.new_page()
    other.goto(ordinary.of("/diff"))
    here = page.locator(".card.file", has_text="adder.py").first
    there = other.locator(".card.file", has_text="adder.py").first
    expect(there.locator("tr[data-hunk='1'] button.accepted")).to_be_visible()
    here.locator("tr[data-hunk='1'] button.rejected").click()
    expect(there.locator("tr[data-hunk='1'][data-verdict=rejected]")).to_have_count(
        1, timeout=20_000
    )
    context.close()


def test_hunks_are_decided_about_by_keys_alone(ordinary: ServedReview, enter: Enter) -> None:
    page = enter(ordinary)
    page.goto(ordinary.of("/diff"))
    expect(page.locator(".marks").first).to_be_visible()
    card = page.locator(".card.file", has_text="adder.py").first
    page.keyboard.press("f")
    page.keyboard.type("adder")
    page.keyboard.press("Enter")
    page.keyboard.press("J")
    page.keyboard.press("J")
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(card.locator("tr[data-hunk='2'][data-verdict=accepted]")).to_have_count(1)
    page.keyboard.press("r")
    expect(card.locator("tr[data-hunk='2'][data-verdict=rejected]")).to_have_count(1)
    page.keyboard.press("c")
    page.keyboard.type("by keys")
    page.keyboard.press("Control+Enter")
    said = card.locator(".said", has_text="by keys")
    expect(said).to_have_count(1)
    said.get_by_role("button", name="Withdraw").click()
    expect(said).to_have_count(0)
    page.keyboard.press("z")
    expect(card.locator("tr[data-hunk='2'][data-verdict=rejected]")).to_have_count(0)
