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

_LEAST_USD = 0.00005


class StepRows:
    """The rows of a run's events, one event after the other, as items of a list. Mutable."""

    def __init__(
        self,
        hide: Callable[[str], str],
        *,
        most: int,
        call_address: Callable[[int], str] = lambda _number: "",
    ) -> None:
        """Args:
        hide: blots out what must not be shown.
        most: so many characters of what a call gave are shown.
        call_address: where more of a call is shown.
        """
        self._hide = hide
        self._most = most
        self._call_address = call_address
        self._started: dict[int, CallStarted] = {}
        self._usd = 0.0

    def of(self, event: Event) -> Iterator[Markup]:
        """The rows that an event adds."""
        if isinstance(event, ModelReplied):
            yield self._turn(event)
        refused = isinstance(event, CallEnded) and event.refused
        for row in rows_of(event, self._started):
            if row.kind is not RowKind.ANSWERED:  # the model said it in so many words
                yield self._row(row, " kernel" if refused else "")

    def pass_by(self, event: Event) -> None:
        """Take an event as told already: later ones are told as they are after it."""
        if isinstance(event, ModelReplied):
            self._usd = event.usd or 0.0
        for _ in rows_of(event, self._started):
            pass

    def _turn(self, event: ModelReplied) -> Markup:
        words = [f"{event.seconds:.1f} s"]
        spent = (event.usd or 0.0) - self._usd
        self._usd = event.usd or 0.0
        if spent >= _LEAST_USD:
            words.append(f"${spent:.4f}, ${self._usd:.4f} so far")
        return joined(tag("li", _head(f"turn {event.turn}", words), class_="turn"), "\n")

    def _row(self, row: Row, more: str) -> Markup:
        """An item of the kind's CSS class, and of another one where there is more to it."""
        number, kind = row.number, RowKind.NOTE if row.kind is RowKind.DONE else row.kind
        title = row.title if number is None else f"{number}  {row.title}"
        shown = _head(self._hide(title), filter(None, (row.brief, *row.more)))
        address = self._call_address(number) if number is not None else ""
        if detail := shortened_result(self._hide(row.detail), self._most):
            link = tag("a", "the lines it wrote", href=address, class_="wrote") if address else ""
            shown = tag("details", tag("summary", shown), tag("pre", detail, tabindex="0"), link)
        name = f"call-{number}" if number is not None else ""
        return joined(tag("li", shown, class_=f"{kind}{more}", id=name), "\n")


def _head(title: str, aside: Iterable[str]) -> Markup:
    words = " · ".join(aside)
    return joined(tag("span", title, class_="title"), tag("span", words, class_="aside"))


def shortened_result(text: str, most: int) -> str:
    """What a call gave, visible, without its middle where it is too long."""
    if len(text) > most:
        half = most // 2
        left = len(text) - most
        text = f"{text[:half]}\n[… {left} characters are in events.jsonl …]\n{text[-half:]}"
    return visible(text)
