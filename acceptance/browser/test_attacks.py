"""A real browser opens the pages of a run that attacks them: no canary is fired."""

from collections.abc import Callable

from playwright.sync_api import Browser, Dialog, Page

from fakes.reviews import ServedReview
from generators.page_attacks import CANARY, attacks

Enter = Callable[[ServedReview], Page]

_PAGES = ("", "/diff", "/timeline", "/decide", "/call/2", "/call/3", "/call/4")
_WAIT_MS = 400


class Canaries:
    """What a page does that none of ours does."""

    def __init__(self, page: Page, origin: str) -> None:
        self.fired: list[str] = []
        page.on("request", lambda request: self._request(request.url, origin))
        page.on("dialog", self._dialog)
        page.on("popup", lambda _page: self.fired.append("popup"))
        page.on("download", lambda _download: self.fired.append("download"))
        self.page = page

    def _request(self, url: str, origin: str) -> None:
        if not url.startswith(f"{origin}/") and not url.endswith("/favicon.ico"):
            self.fired.append(url)

    def _dialog(self, dialog: Dialog) -> None:
        self.fired.append("dialog")
        dialog.dismiss()

    def look(self) -> list[str]:
        if CANARY in self.page.title() or self.page.evaluate("window.canary ?? ''"):
            self.fired.append("script")
        return self.fired


def test_the_same_attacks_fire_on_a_page_that_does_not_escape(page: Page) -> None:
    fired = []
    for name, text in attacks().items():
        page.goto("about:blank")
        canaries = Canaries(page, "about:")
        page.set_content(f"<!doctype html><title>x</title><main>{text}</main>")
        page.wait_for_timeout(30)
        fired += [name] if canaries.look() else []
    assert len(fired) >= 30, fired


def test_no_canary_fires_on_our_pages(attacked: ServedReview, enter: Enter) -> None:
    page = enter(attacked)
    canaries = Canaries(page, attacked.origin)
    assert len(attacks()) >= 60
    for layout in ("unified", "split"):
        page.goto(attacked.of())
        page.evaluate("layout => { document.cookie = `moonpool-layout=${layout}; path=/` }", layout)
        for part in _PAGES:
            page.goto(attacked.of(part))
            page.wait_for_timeout(_WAIT_MS)
            assert canaries.look() == [], part
            assert page.evaluate("document.scripts.length") <= 2
            strangers = "iframe, object, embed, base, svg, math, audio, video, [style], [onerror]"
            assert page.evaluate(f"document.querySelectorAll('{strangers}').length") == 0


def test_no_canary_fires_where_every_file_is_fetched_and_each_thing_is_clicked(
    attacked: ServedReview, enter: Enter
) -> None:
    page = enter(attacked)
    canaries = Canaries(page, attacked.origin)
    page.goto(attacked.of("/diff"))
    page.evaluate("allCards")
    assert page.evaluate("all('.cards > .file').length") > 2 * len(attacks()) - 5
    page.evaluate("Promise.all(all('.lines-later').map(fetchLines))")
    assert page.evaluate("all('.lines-later').length") == 0
    page.evaluate("all('details').forEach(it => { it.open = true })")
    page.evaluate("all('table.diff .add').slice(0, 40).map(row => askWhy(row))")
    page.wait_for_selector(".why-row", state="attached")
    page.keyboard.press("?")
    page.keyboard.press("Escape")
    page.wait_for_timeout(_WAIT_MS)
    assert canaries.look() == []
    page.goto(attacked.of("/timeline"))
    page.evaluate("all('details').forEach(it => { it.open = true })")
    page.evaluate("all('button[data-filter]').forEach(it => it.click())")
    page.wait_for_timeout(_WAIT_MS)
    assert canaries.look() == []


def test_a_page_elsewhere_gets_nothing_and_does_nothing(
    ordinary: ServedReview, enter: Enter
) -> None:
    page = enter(ordinary)
    page.goto("about:blank")
    outcome = page.evaluate(
        """async address => {
            const tried = [];
            for (const mode of ["cors", "no-cors"])
              for (const method of ["GET", "POST"])
                try {
                  const answer = await fetch(address, {mode, method, credentials: "include"});
                  tried.push(answer.type + answer.status);
                } catch { tried.push("refused") }
            return tried;
        }""",
        ordinary.of(),
    )
    assert set(outcome) <= {"refused", "opaque0"}


def test_another_browser_with_the_same_address_stays_outside(
    ordinary: ServedReview, enter: Enter, chromium: Browser
) -> None:
    enter(ordinary)
    other = chromium.new_context().new_page()
    answer = other.goto(ordinary.address)
    assert answer.status == 403
    assert other.goto(ordinary.of()).status == 401
    other.context.close()
