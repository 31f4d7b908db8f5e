"""The runs of a folder as a table: filters, sorting, pages, what is decided about each.

Owns the markup. Every text of a run is made visible here.
"""

from collections.abc import Callable, Iterator

from agent.record import outcome as outcomes
from agent.record.outcome import Finished
from agent.review.decide.listing import RunFilter, RunListing
from agent.review.decide.run_rows import RunRow
from agent.review.decide.store import DecidedParts
from agent.review.pages.findings import badge, verified_badge
from agent.review.pages.frame import ServedFrame
from agent.review.pages.markup import Markup, joined, linked, tag
from agent.untrusted_text import one_line

_FINISHED = outcomes.name_of(Finished)
_NAME_CHARACTERS = 160
_KINDS = {"danger": "bad", "warning": "", "note": "note"}


Address = Callable[..., str]
"""Of the same list with something of its query changed: ``only``, ``sort``, ``backwards``,
``page``."""


_COLUMNS = (
    ("task", "task"),
    ("outcome", "outcome"),
    ("", "verified"),
    ("risk", "worst finding"),
    ("size", "patch"),
    ("cost", "dollars"),
    ("", "time"),
    ("", "decided"),
)
_NUMBERS = ("patch", "dollars", "time")


def runs_parts(listing: RunListing, frame: ServedFrame, address: Address) -> Iterator[Markup]:
    query = listing.query
    yield tag("h1", "The batch" if listing.is_batch else "Runs")
    filters = [
        tag(
            "a",
            name,
            tag("span", str(count), class_="count"),
            href=address(only=name, page=1),
            aria_current="true" if name is query.only else "",
        )
        for name, count in listing.counts.items()
    ]
    search = tag(
        "form",
        tag("input", type="hidden", name="only", value=query.only),
        tag(
            "input",
            type="search",
            name="words",
            id="run-search",
            value=query.words,
            placeholder="Find (f)",
            aria_label="Find a run",
            maxlength="200",
        ),
        action=frame.address("runs"),
        method="get",
    )
    yield tag("nav", *filters, search, class_="filters", aria_label="Filters")
    clean = listing.counts[RunFilter.CLEAN]
    if clean:
        yield tag(
            "p",
            tag("button", "Accept all that are clean", type="button", id="accept-clean"),
            f" {clean} finished, verified and without findings",
            class_="soft",
        )
    heads = [_head(listing, address, *column) for column in _COLUMNS]
    rows = [_row(row, parts, frame.address("run", row.run_id)) for row, parts in listing.rows]
    table = tag(
        "table",
        tag("thead", tag("tr", *heads)),
        tag("tbody", *rows),
        id="runs",
    )
    yield tag("div", table if rows else tag("p", "There is none."), class_="card")
    if listing.pages > 1:
        yield _pages(listing, address)


def _head(listing: RunListing, address: Address, key: str, words: str) -> Markup:
    query = listing.query
    kind = "n" if words in _NUMBERS else ""
    if not key:
        return tag("th", words, scope="col", class_=kind)
    is_here = key == query.sort
    turned = is_here and not query.backwards
    link = tag("a", words, href=address(sort=key, backwards=turned, page=1))
    order = ("descending" if query.backwards else "ascending") if is_here else ""
    return tag("th", link, scope="col", class_=kind, aria_sort=order)


def _row(row: RunRow, parts: DecidedParts, address: str) -> Markup:
    attempt = f", attempt {row.attempt}" if row.attempt > 1 else ""
    chosen = "" if row.is_chosen else ", another one is chosen"
    where = f" · {row.workspace}" if row.workspace else ""
    aside = f"{row.run_id or ''}{attempt}{chosen}{where}"
    name = one_line(row.name, _NAME_CHARACTERS) or "(nothing was asked)"
    worst = row.worst_finding
    said = (
        (parts.accepted, "accepted", "plus"),
        (parts.rejected, "rejected", "minus"),
        (parts.comments, "comments", "soft"),
    )
    return joined(
        tag(
            "tr",
            tag(
                "td",
                linked(name, address if row.run_id is not None else ""),
                tag("small", one_line(aside, _NAME_CHARACTERS)),
            ),
            tag("td", badge(one_line(row.outcome, 60), "good" if row.outcome == _FINISHED else "")),
            tag("td", "" if row.verified is None else verified_badge(row.verified)),
            tag("td", badge(worst, _KINDS.get(worst, "")) if worst else ""),
            tag("td", "" if row.patch_bytes is None else _size(row.patch_bytes), class_="n"),
            tag("td", "" if row.usd is None else f"{row.usd:.2f}", class_="n"),
            tag("td", f"{row.seconds:.0f} s" if row.seconds else "", class_="n"),
            tag(
                "td",
                *(
                    joined(tag("span", f"{count} {words}", class_=kind), " ")
                    for count, words, kind in said
                    if count
                ),
            ),
        ),
        "\n",
    )


def _size(count: int) -> str:
    if not count:
        return "no change"
    return f"{count} B" if count < 1024 else f"{count / 1024:.1f} KiB"


def _pages(listing: RunListing, address: Address) -> Markup:
    page, pages = min(listing.query.page, listing.pages), listing.pages
    before = page > 1 and tag("a", "before ([)", href=address(page=page - 1), rel="prev")
    after = page < pages and tag("a", "next (])", href=address(page=page + 1), rel="next")
    here = tag("span", f"page {page} of {pages}")
    return tag("nav", before or "", here, after or "", class_="pages", aria_label="List pages")
