"""Pages that anybody can use: by keys alone, at any width, in both themes, with a screen reader."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

import agent
from fakes.reviews import ServedReview

Enter = Callable[[ServedReview], Page]

_AXE = Path(agent.__file__).parents[1] / ".venv-browser/node_modules/axe-core/axe.min.js"
_PAGES = ("", "/diff", "/timeline", "/decide", "/call/2", "/../../runs")
_VIOLATIONS = """async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  const places = it => it.nodes.slice(0, 3).map(node => node.html).join(" | ");
  return found.violations.map(it => `${it.id}: ${places(it)}`);
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_axe_finds_nothing_on_any_page(
    ordinary: ServedReview, enter: Enter, theme: str, width: int
) -> None:
    page = enter(ordinary)
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 1000})
    found = {}
    for layout in ("unified", "split"):
        page.goto(ordinary.of())
        page.evaluate(
            "layout => { document.cookie = `moonpool-layout=${layout}; path=${base}` }", layout
        )
        for part in _PAGES:
            page.goto(f"{ordinary.origin}/runs" if part == "runs" else ordinary.of(part))
            page.evaluate("all('details').forEach(it => { it.open = true })")
            if part == "/diff":
                page.evaluate(
                    "all('.file').forEach(it => { it.style.contentVisibility = 'visible' })"
                )
                page.evaluate("askWhy(one('table.diff .add, table.diff tr:has(.add)'))")
                page.wait_for_selector(".why-row")
                page.wait_for_selector(".marks")
            page.evaluate(_AXE.read_text("utf-8"))
            violations = page.evaluate(_VIOLATIONS)
            if violations:
                found[f"{part} {layout}"] = violations
            assert page.evaluate("document.documentElement.scrollWidth") <= width, part
    assert found == {}


def test_every_file_is_reached_by_two_keys_and_its_name(
    ordinary: ServedReview, enter: Enter
) -> None:
    page = enter(ordinary)
    page.goto(ordinary.of("/diff"))
    for name in page.eval_on_selector_all("#file-list li", "all => all.map(it => it.dataset.name)"):
        page.keyboard.press("f")
        page.keyboard.type(name)
        page.keyboard.press("Enter")
        page.wait_for_selector(f"summary:focus:has-text('{name}')")


def test_a_file_that_was_not_in_the_page_at_first_is_reached_too(
    attacked: ServedReview, enter: Enter
) -> None:
    page = enter(attacked)
    page.goto(attacked.of("/diff"))
    page.keyboard.press("f")
    page.keyboard.type("video-error.svg")
    page.keyboard.press("Enter")
    page.wait_for_selector("summary:focus:has-text('video-error.svg')")


def test_a_line_is_asked_about_by_keys_alone(ordinary: ServedReview, enter: Enter) -> None:
    page = enter(ordinary)
    page.goto(ordinary.of())
    page.keyboard.press("2")
    page.wait_for_url("**/diff")
    page.keyboard.press("f")
    page.keyboard.type("adder")
    page.keyboard.press("Enter")
    page.wait_for_selector(".file:has(summary:focus) [data-hunk]")
    page.keyboard.press("J")
    for _ in range(5):
        page.keyboard.press("j")
    page.keyboard.press("w")
    page.wait_for_selector(".why-row")
    assert "Call 2" in page.inner_text(".why-row")
    page.keyboard.press("Escape")
    assert page.query_selector(".why-row") is None
    page.keyboard.press("3")
    page.wait_for_url("**/timeline")


def test_the_keys_are_listed(ordinary: ServedReview, enter: Enter) -> None:
    page = enter(ordinary)
    page.goto(ordinary.of("/diff"))
    page.keyboard.press("?")
    text = page.inner_text("dialog")
    for words in ("next file", "next hunk", "why is this line here", "side by side"):
        assert words in text
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")


def test_lines_are_fetched_and_unfolded(ordinary: ServedReview, enter: Enter) -> None:
    page = enter(ordinary)
    page.goto(ordinary.of("/diff"))
    page.click("button.more:has-text('unchanged')")
    page.wait_for_selector("tr.same:has-text('def f_0(a, b)')")
