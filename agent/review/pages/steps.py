"""What happened, row by row: turns, what was said, calls and how they ended.

Owns which rows stand there and their markup, for the written file, the served page and the rows
that follow while a run goes on.
"""

from collections.abc import Callable, Iterable, Iterator

from agent.record.events.conversation import CallEnded, CallStarted, ModelReplied
from agent.record.events.kinds import Event
from agent.record.timeline import Row, RowKind, rows_of
from agent.review.pages.markup import Markup, joined, tag
from agent.untrusted_text import visible
from policies.frozen import dataclass

TURN = "turn"
_KERNEL = "kernel"
_LEAST_USD = 0.00005


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """One entry of the timeline."""

    style: str
    """CSS classes: ``asked``, ``said``, ``ok``, ``failed``, ``denied``, ``note`` or ``turn``; and
    ``kernel`` where the kernel refused a program."""
    title: str
    detail: str = ""
    """Shown folded where there is one."""
    aside: str = ""
    """Duration, exit code, rule."""
    call: int | None = None
    """The call's number."""


class StepRows:
    """The rows of a run's events, one event after the other. Mutable."""

    def __init__(self, hide: Callable[[str], str], *, most: int) -> None:
        """Args:
        hide: blots out what must not be shown.
        most: so many characters of what a call gave are shown.
        """
        self._hide = hide
        self._most = most
        self._started: dict[int, CallStarted] = {}
        self._usd = 0.0

    def of(self, event: Event) -> Iterator[ReportRow]:
        """The rows that an event adds."""
        if isinstance(event, ModelReplied):
            yield self._turn(event)
        refused = isinstance(event, CallEnded) and event.refused
        for row in rows_of(event, self._started):
            if row.kind is not RowKind.ANSWERED:  # the model said it in so many words
                yield self._row(row, _KERNEL if refused else "")

    def _turn(self, event: ModelReplied) -> ReportRow:
        words = [f"{event.seconds:.1f} s"]
        spent = (event.usd or 0.0) - self._usd
        self._usd = event.usd or 0.0
        if spent >= _LEAST_USD:
            words.append(f"${spent:.4f}, ${self._usd:.4f} so far")
        return ReportRow(style=TURN, title=f"turn {event.turn}", aside=" · ".join(words))

    def _row(self, row: Row, more: str) -> ReportRow:
        title = row.title if row.number is None else f"{row.number}  {row.title}"
        style = RowKind.NOTE if row.kind is RowKind.DONE else row.kind
        return ReportRow(
            style=f"{style} {more}".rstrip(),
            title=self._hide(title),
            detail=self._hide(shortened_result(row.detail, self._most)),
            aside=" · ".join(filter(None, (row.brief, *row.more))),
            call=row.number,
        )


def step_rows(
    rows: Iterable[ReportRow], call_address: Callable[[int], str] = lambda _number: ""
) -> Iterator[Markup]:
    """The rows as items of a list.

    Args:
        call_address: where more of a call is shown.
    """
    return (_item(row, call_address) for row in rows)


def _item(row: ReportRow, call_address: Callable[[int], str]) -> Markup:
    head = joined(tag("span", row.title, class_="title"), tag("span", row.aside, class_="aside"))
    address = call_address(row.call) if row.call is not None else ""
    link = tag("a", "the lines it wrote", href=address, class_="wrote") if address else ""
    if row.detail:
        pre = tag("pre", row.detail, tabindex="0")
        head = tag("details", tag("summary", head), pre, link)
    name = f"call-{row.call}" if row.call is not None else ""
    return joined(tag("li", head, class_=row.style, id=name), "\n")


def shortened_result(text: str, most: int) -> str:
    """What a call gave, visible, without its middle where it is too long."""
    if len(text) > most:
        half = most // 2
        left = len(text) - most
        text = f"{text[:half]}\n[… {left} characters are in events.jsonl …]\n{text[-half:]}"
    return visible(text)
