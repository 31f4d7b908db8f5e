"""The frame of every page: head, the way between the pages of a run, and what is said on top.

Owns where scripts and style come from. A page that is served names ours by a nonce; the file that
is written has the style in it, and no script.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from agent.review.pages.markup import Markup, joined, tag
from policies.frozen import dataclass

STYLE = Path(__file__).with_name("report.css")
SCRIPT = Path(__file__).with_name("review.js")
DECIDE_SCRIPT = Path(__file__).with_name("decide.js")
_FILE_POLICY = Markup(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedFrame:
    """What a served page has of its server."""

    base: str
    """Path that all addresses begin with."""
    nonce: str
    csrf: str

    def address(self, *parts: object) -> str:
        """Of another page of the same server."""
        return "/".join((self.base, *map(str, parts)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLink:
    """One of the pages that stand beside each other."""

    name: str
    address: str
    is_here: bool = False
    aside: str = ""
    """A number behind the name."""


def written_page(title: str, body: Iterable[Markup]) -> str:
    """A page that is one file."""
    head = (
        tag("meta", http_equiv="Content-Security-Policy", content=_FILE_POLICY),
        tag("style", Markup(STYLE.read_text("utf-8"))),
    )
    return _document(title, head, tag("body", tag("main", *_lines(body))))


def served_page(
    frame: ServedFrame, title: str, body: Iterable[Markup], *, links: Sequence[PageLink] = ()
) -> str:
    """A page of the server, with our script."""
    head = (
        tag("meta", name="csrf", content=frame.csrf),
        tag("meta", name="base", content=frame.base),
        tag(
            "link",
            rel="stylesheet",
            href=frame.address("static", "review.css"),
            nonce=frame.nonce,
        ),
        *(
            tag("script", src=frame.address("static", name), nonce=frame.nonce, defer="defer")
            for name in ("review.js", "decide.js")
        ),
    )
    inside = tag(
        "body",
        tag("a", "Skip to the content", href="#content", class_="skip"),
        _top(frame, links),
        tag("main", *_lines(body), id="content", tabindex="-1"),
        tag("p", id="said", role="status"),
        class_="served",
    )
    return _document(title, head, inside)


def _top(frame: ServedFrame, links: Sequence[PageLink]) -> Markup:
    shown = [
        tag(
            "a",
            link.name,
            tag("span", link.aside, class_="count") if link.aside else "",
            href=link.address,
            aria_current="page" if link.is_here else "",
        )
        for link in links
    ]
    keys = tag("button", "?", type="button", id="keys-button", aria_label="Keys", title="Keys (?)")
    brand = tag("a", "moonpool", href=frame.address("runs"), class_="brand", title="All runs")
    return tag("nav", brand, *shown, keys, class_="top", aria_label="Pages")


def _lines(body: Iterable[Markup]) -> Iterable[Markup]:
    return (joined(part, "\n") for part in body)


def _document(title: str, head: Sequence[Markup], body: Markup) -> str:
    top = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        *head,
    )
    return f'<!doctype html>\n<html lang="en">\n{top}\n{body}\n</html>\n'
