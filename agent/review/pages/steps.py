"""What happened, row by row."""

from collections.abc import Iterable, Iterator

from agent.review.pages.markup import Markup, joined, tag
from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """One entry of the timeline."""

    style: str
    """CSS class: ``asked``, ``said``, ``ok``, ``failed``, ``denied`` or ``note``."""
    title: str
    detail: str = ""
    """Shown folded where there is one."""
    aside: str = ""
    """Duration, exit code, rule."""


def step_rows(rows: Iterable[ReportRow]) -> Iterator[Markup]:
    """The rows as items of a list."""
    return map(_row, rows)


def _row(row: ReportRow) -> Markup:
    head = joined(tag("span", row.title, class_="title"), tag("span", row.aside, class_="aside"))
    if row.detail:
        pre = tag("pre", row.detail, tabindex="0")
        head = tag("details", tag("summary", head), pre)
    return joined(tag("li", head, class_=row.style), "\n")
