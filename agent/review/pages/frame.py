"""The frame of every page that is served: head, and the way between the pages of a run.

Owns where scripts and style come from: a page names ours by a nonce.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from agent.review.pages.markup import Markup, document, lines, tag
from policies.frozen import dataclass

SCRIPT = Path(__file__).with_name("review.js")
DECIDE_SCRIPT = Path(__file__).with_name("decide.js")


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
        tag("main", *lines(body), id="content", tabindex="-1"),
        tag("p", id="said", role="status"),
        class_="served",
    )
    return document(title, head, inside)


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
