"""``report.html``: the pages of a review in one file, without the parts that need a server.

Written when a run is over, with ``trajectory.json`` beside it, and not imported before.
No scripts, no outside resources, and a content security policy that forbids both: what stands in it
comes from a model and from a repository nobody trusts. Everything is escaped where it becomes
markup (`agent.review.pages.markup`), and characters that act or hide are shown as what they are.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from agent.record.events.kinds import Event, Recorded
from agent.record.store import RunRecord
from agent.record.summary import RunResult
from agent.record.timeline import RowKind, timeline
from agent.record.trajectory import recorded_times, trajectory
from agent.review.pages.diff import file_card
from agent.review.pages.markup import STYLE, Markup, document, lines, tag
from agent.review.pages.overview import Overview, overview_parts
from agent.review.pages.patch_view import FileEntry, entries, file_view, shortened_view
from agent.review.pages.steps import StepRows
from agent.risk.credentials import hiding

_POLICY = Markup(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
_DIFF_LINES = 20_000
_SPARE_BYTES = 512 << 10
"""What the markup of a patch may take beside 1.5 times its own bytes."""
_RESULTS_CHARACTERS = 256 << 10
_RESULT_CHARACTERS = 4_000
_LEAST_CHARACTERS = 400


def write_reports(record: RunRecord, result: RunResult, log: Sequence[Recorded]) -> None:
    """Write ``report.html`` and ``trajectory.json``.

    Raises:
        RecordError: one can't be written.
    """
    record.write_report(render(result, log))
    times = recorded_times(record.directory)
    hide = hiding(result.document.gate_findings)
    record.write_trajectory(trajectory(result.document, log, times, hide))


def render(result: RunResult, log: Sequence[Event]) -> str:
    """The page as HTML text."""
    delivery, summary = result.delivery, result.document
    data = delivery.patch.data if delivery is not None else b""
    hide = hiding(summary.gate_findings)
    files: Sequence[FileEntry] = ()
    if delivery is not None:
        files = entries(data, summary.changes, summary.findings, summary.opinion)
    shown = {entry.diff.path: entry.number for entry in files}

    def address(path: bytes, _line: int | None) -> str:
        return f"#part-{shown[path]}" if path in shown else ""

    content = Overview(summary=summary, last_words=last_words(log), hide=hide, part_address=address)
    head = (
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("style", Markup(STYLE.read_text("utf-8"))),
    )
    main = tag("main", *lines(_parts(content, files, data, log)))
    return document(f"Moonpool run {summary.run_id}", head, tag("body", main))


def _parts(
    content: Overview, files: Sequence[FileEntry], data: bytes, log: Sequence[Event]
) -> Iterator[Markup]:
    yield from overview_parts(content)
    if files:
        yield tag("h2", "The patch")
        yield from _files(files, len(data))
    yield tag("h2", "What happened")
    yield tag("ol", *_rows(log, content.hide), class_="timeline")
    yield tag(
        "footer",
        "Made by Moonpool on this machine; nothing in this page is loaded from anywhere else. "
        f"With colours, and which call wrote each line: moonpool review {content.summary.run_id}",
    )


def _files(files: Sequence[FileEntry], size: int) -> Iterator[Markup]:
    lines, room = _DIFF_LINES, _SPARE_BYTES + size * 3 // 2
    for number, entry in enumerate(files):
        view = file_view(entry)
        card = file_card(entry, view)
        taken = len(card.encode("utf-8", "replace"))
        if view.line_count > lines or taken > room:
            shown = min(lines, view.line_count * room // taken)
            yield file_card(entry, shortened_view(view, shown))
            yield tag(
                "p", f"[{_cut(_DIFF_LINES - lines + shown, number + 1, files)}]", class_="soft"
            )
            return
        yield card
        lines, room = lines - view.line_count, room - taken


def _cut(lines: int, number: int, files: Sequence[FileEntry]) -> str:
    more = f" and {len(files) - number} more files" if len(files) > number else ""
    return f"cut after {lines} lines: the rest{more} is in the patch, and in moonpool review"


def last_words(log: Iterable[Event]) -> str:
    """What the agent said last."""
    said = ""
    for row in timeline(log):
        if row.kind is RowKind.SAID:
            said = row.title
    return said


def _rows(log: Sequence[Event], hide: Callable[[str], str]) -> Iterator[Markup]:
    each = max(_RESULTS_CHARACTERS // max(len(log), 1) * 4, _LEAST_CHARACTERS)
    made = StepRows(hide, most=min(each, _RESULT_CHARACTERS))
    return (row for event in log for row in made.of(event))
