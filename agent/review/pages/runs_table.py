"""The runs of a folder as a table: filters, sorting, pages, what is decided about each.

Owns the markup. Every text of a run is made visible here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from agent.review.pages.findings import badge
from agent.review.pages.markup import Markup, joined, tag
from agent.untrusted_text import one_line
from policies.frozen import dataclass

_NAME_CHARACTERS = 160
_KINDS = {"danger": "bad", "warning": "", "note": "note"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCells:
    """What a row shows; texts are as they came."""

    address: str
    """Of the run's pages; empty where it has none yet."""
    name: str
    aside: str
    """The run's id, which attempt it is."""
    outcome: str
    is_good: bool
    verified: bool | None
    worst_finding: str | None
    patch_bytes: int | None
    usd: float | None
    seconds: float
    accepted: int
    rejected: int
    comments: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsView:
    title: str
    rows: Sequence[RunCells]
    counts: Mapping[str, int]
    """How many each filter shows."""
    only: str
    """The filter that counts."""
    sort: str
    """By what; empty: as they are."""
    backwards: bool
    words: str
    page: int
    pages: int
    clean: int
    """How many are verified and without findings."""
    address: Callable[..., str]
    """Of this list with something of it changed: ``only``, ``sort``, ``backwards``, ``page``."""
    base: str
    """The list's own address, which a search goes to."""


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


def runs_parts(view: RunsView) -> Iterator[Markup]:
    yield tag("h1", view.title)
    filters = [
        tag(
            "a",
            name,
            tag("span", str(count), class_="count"),
            href=view.address(only=name, page=1),
            aria_current="true" if name == view.only else "",
        )
        for name, count in view.counts.items()
    ]
    search = tag(
        "form",
        tag("input", type="hidden", name="only", value=view.only),
        tag(
            "input",
            type="search",
            name="words",
            id="run-search",
            value=view.words,
            placeholder="Find (f)",
            aria_label="Find a run",
            maxlength="200",
        ),
        action=view.base,
        method="get",
    )
    yield tag("nav", *filters, search, class_="filters", aria_label="Filters")
    if view.clean:
        yield tag(
            "p",
            tag("button", "Accept all that are clean", type="button", id="accept-clean"),
            f" {view.clean} finished, verified and without findings",
            class_="soft",
        )
    heads = [_head(view, *column) for column in _COLUMNS]
    table = tag(
        "table",
        tag("thead", tag("tr", *heads)),
        tag("tbody", *map(_row, view.rows)),
        id="runs",
    )
    yield tag("div", table if view.rows else tag("p", "There is none."), class_="card")
    if view.pages > 1:
        yield _pages(view)


def _head(view: RunsView, key: str, words: str) -> Markup:
    kind = "n" if words in _NUMBERS else ""
    if not key:
        return tag("th", words, scope="col", class_=kind)
    is_here = key == view.sort
    turned = is_here and not view.backwards
    link = tag("a", words, href=view.address(sort=key, backwards=turned, page=1))
    order = ("descending" if view.backwards else "ascending") if is_here else ""
    return tag("th", link, scope="col", class_=kind, aria_sort=order)


def _row(row: RunCells) -> Markup:
    name = one_line(row.name, _NAME_CHARACTERS) or "(nothing was asked)"
    verified = {True: badge("verified", "good"), False: badge("not verified", "bad"), None: ""}
    worst = row.worst_finding
    said = []
    if row.accepted:
        said.append(tag("span", f"{row.accepted} accepted", class_="plus"))
    if row.rejected:
        said.append(tag("span", f"{row.rejected} rejected", class_="minus"))
    if row.comments:
        said.append(tag("span", f"{row.comments} comments", class_="soft"))
    return joined(
        tag(
            "tr",
            tag(
                "td",
                tag("a", name, href=row.address) if row.address else name,
                tag("small", one_line(row.aside, _NAME_CHARACTERS)),
            ),
            tag("td", badge(one_line(row.outcome, 60), "good" if row.is_good else "")),
            tag("td", verified[row.verified]),
            tag("td", badge(worst, _KINDS.get(worst, "")) if worst else ""),
            tag("td", "" if row.patch_bytes is None else _size(row.patch_bytes), class_="n"),
            tag("td", "" if row.usd is None else f"{row.usd:.2f}", class_="n"),
            tag("td", f"{row.seconds:.0f} s" if row.seconds else "", class_="n"),
            tag("td", *(joined(one, " ") for one in said)),
        ),
        "\n",
    )


def _size(count: int) -> str:
    if not count:
        return "no change"
    return f"{count} B" if count < 1024 else f"{count / 1024:.1f} KiB"


def _pages(view: RunsView) -> Markup:
    before = view.page > 1 and tag(
        "a", "before ([)", href=view.address(page=view.page - 1), rel="prev"
    )
    after = view.page < view.pages and tag(
        "a", "next (])", href=view.address(page=view.page + 1), rel="next"
    )
    here = tag("span", f"page {view.page} of {view.pages}")
    return tag("nav", before or "", here, after or "", class_="pages", aria_label="List pages")
