"""The diff: files, hunks and lines as tables, unified or side by side.

Owns the markup of a changed file. A line is a row of a table without end tags, which HTML allows:
of a large patch they would be most of the page.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum

from agent.review.pages.findings import concern_box, concern_boxes, finding_rows
from agent.review.pages.markup import Markup, escaped, joined, tag
from agent.review.pages.patch_view import (
    FileEntry,
    FileView,
    HunkView,
    LineKind,
    LineView,
    side_by_side,
)
from agent.risk.opinion import Concern
from agent.untrusted_text import path_text
from policies.frozen import dataclass
from sandbox.git.manifest import SYMLINK
from sandbox.patch.values import Change, ChangeKind

_EXECUTABLE = 0o111


class DiffLayout(StrEnum):
    UNIFIED = "unified"
    SPLIT = "split"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourSpan:
    """A piece of a line that has a colour of its own."""

    start: int
    end: int
    kind: str
    """CSS class: one of those that our style has."""


_COLUMNS = {
    DiffLayout.UNIFIED: "<col class=n><col class=n><col>",
    DiffLayout.SPLIT: "<col class=n><col><col class=n><col>",
}

_WIDTHS = {DiffLayout.UNIFIED: 3, DiffLayout.SPLIT: 4}

Colours = Callable[[LineView], Iterable[ColourSpan]]
"""The colours of a line, in order and apart from each other."""


def colourless(_line: LineView) -> Iterable[ColourSpan]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDisplay:
    """How a file is shown, and what it leads to; a page that is one file has none of it."""

    layout: DiffLayout = DiffLayout.UNIFIED
    colours: Colours = colourless
    lines: str = ""
    """Where the file's own lines come from, for pages that fetch them when they are looked at."""
    why: str = ""
    """What the address of a line's reason begins with."""
    between: Callable[[int, int, int], str] | None = None
    """The address of unchanged lines: first and last in the new file, and by how much the old one's
    numbers are less."""
    images: tuple[tuple[str, str], ...] = ()
    """Pictures to show, by address, each with its words: before and after."""


_PLAIN = FileDisplay()


def file_card(entry: FileEntry, view: FileView | None, display: FileDisplay = _PLAIN) -> Markup:
    """A file of the patch; with None for its lines, a place that they are fetched to."""
    change = entry.change
    head = joined(
        tag("span", *path_words(change), class_="path"),
        *_facts(change),
        tag("span", *line_counts(change), class_="lines"),
    )
    if view is None:
        waiting = tag("a", "Show the lines", href=display.lines)
        body = tag("div", waiting, class_="lines-later", data_lines=display.lines)
    else:
        body = file_lines(view, display)
    findings = finding_rows(entry.findings)
    return tag(
        "details",
        tag("summary", head),
        tag("table", *findings, class_="findings") if findings else "",
        body,
        class_="card file",
        id=f"part-{entry.number}",
        open="open",
        data_why=display.why,
    )


def file_lines(view: FileView, display: FileDisplay) -> Markup:
    """What a file's lines are: tables of hunks, pictures, or the reason why there are none."""
    entry, layout = view.entry, display.layout
    if display.images:
        pictures = [
            tag(
                "figure",
                tag("img", src=address, alt=f"{entry.path}, {words}"),
                tag("figcaption", words),
            )
            for words, address in display.images
        ]
        return joined(concern_boxes(entry.concerns), tag("div", *pictures, class_="pictures"))
    if not view.hunks:
        nothing = tag("p", _without_lines(entry.change), class_="no-lines")
        return joined(concern_boxes(entry.concerns), nothing)
    rows: list[str] = []
    last = 0
    shown = {line.new for hunk in view.hunks for line in hunk.lines} - {None}
    at = _by_line(it for it in entry.concerns if it.line in shown)
    for hunk in view.hunks:
        rows += _between(view, hunk, last, display)
        rows += _hunk_rows(hunk, display, at)
        last = hunk.new_start + hunk.new_count - 1
    rows += _after(view, last, display)
    table = Markup(f'<table class="diff {layout}">{_COLUMNS[layout]}{"".join(rows)}</table>')
    elsewhere = concern_boxes(it for it in entry.concerns if it.line not in shown)
    return joined(elsewhere, tag("div", table, class_="hunks"))


def same_lines(lines: Iterable[LineView], display: FileDisplay) -> Markup:
    """Rows of unchanged lines, to be put between hunks."""
    return Markup("".join(_row(line, display) for line in lines))


def path_words(change: Change) -> Iterator[str]:
    if change.old_path and change.old_path != change.path:
        yield tag("span", f"{path_text(change.old_path)} → ", class_="soft")
    yield path_text(change.path)


def line_counts(change: Change) -> Iterator[str]:
    if change.added_lines is None:
        yield "binary"
        return
    yield tag("span", f"+{change.added_lines}", class_="plus")
    yield " "
    yield tag("span", f"\u2212{change.deleted_lines}", class_="minus")


def _facts(change: Change) -> Iterator[Markup]:
    words = []
    if change.kind is not ChangeKind.MODIFIED:
        words.append(str(change.kind))
    old, new = change.old_mode, change.new_mode
    if SYMLINK in (old, new):
        words.append("symbolic link" if new == SYMLINK else "was a symbolic link")
    elif old and new and old != new:
        words.append(f"mode {old:o} → {new:o}")
    elif not old and new & _EXECUTABLE:
        words.append("executable")
    yield from (tag("span", word, class_="badge note") for word in words)


def _without_lines(change: Change) -> str:
    if change.added_lines is None:
        return "A binary file: its bytes are not shown."
    if change.old_path:
        return "Moved, and nothing else."
    if change.old_mode and change.new_mode != change.old_mode:
        return "Only its mode changed."
    return "An empty file."


def _by_line(concerns: Iterable[Concern]) -> Mapping[int, list[Concern]]:
    found: dict[int, list[Concern]] = {}
    for concern in concerns:
        found.setdefault(concern.line or 0, []).append(concern)
    return found


def _hunk_rows(
    hunk: HunkView, display: FileDisplay, at: Mapping[int, list[Concern]]
) -> Iterator[str]:
    if display.layout is DiffLayout.UNIFIED:
        for line in hunk.lines:
            yield _row(line, display)
            yield from _concern_rows(line, display.layout, at)
        return
    for old, new in side_by_side(hunk.lines):
        if old is not None and old.kind is LineKind.NOTE:
            yield _row(old, display)
        else:
            yield _split_row(old, new, display.colours)
            yield from _concern_rows(new, display.layout, at)


def _concern_rows(
    line: LineView | None, layout: DiffLayout, at: Mapping[int, list[Concern]]
) -> Iterator[str]:
    """What a reviewer says of a line, below it."""
    for concern in at.get(line.new or 0, ()) if line is not None else ():
        box = concern_box(concern)
        yield f"<tr class=opinion-row><td colspan={_WIDTHS[layout]}>{box}\n"


def _row(line: LineView, display: FileDisplay) -> str:
    is_split = display.layout is DiffLayout.SPLIT
    if line.kind is LineKind.NOTE:
        before = "<td><td colspan=3>" if is_split else "<td><td><td>"
        return f"<tr class=meta>{before}{escaped(line.text)}\n"
    if is_split:
        return _split_row(line, line, display.colours)
    old, new = line.old or "", line.new or ""
    return f"<tr class={line.kind}><td>{old}<td>{new}<td>{_text(line, display.colours)}\n"


def _split_row(old: LineView | None, new: LineView | None, colours: Colours) -> str:
    return f"<tr>{_half(old, colours, is_new=False)}{_half(new, colours, is_new=True)}\n"


def _half(line: LineView | None, colours: Colours, *, is_new: bool) -> str:
    if line is None:
        return "<td><td class=none>"
    number = line.new if is_new else line.old
    return f"<td class={line.kind}>{number or ''}<td class={line.kind}>{_text(line, colours)}"


def _text(line: LineView, colours: Colours) -> str:
    """The text with its colours, and the changed words marked."""
    text, words = line.text, line.words
    spans = tuple(colours(line))
    if not spans and not words:
        return escaped(text)
    cuts = {0, len(text)}
    cuts.update(at for span in spans for at in (span.start, span.end) if at < len(text))
    cuts.update(at for word in words for at in word)
    places = sorted(cuts)
    out: list[str] = []
    marked = False
    at_span = at_word = 0
    for start, end in itertools.pairwise(places):
        while at_span < len(spans) and spans[at_span].end <= start:
            at_span += 1
        while at_word < len(words) and words[at_word][1] <= start:
            at_word += 1
        inside = at_word < len(words) and words[at_word][0] <= start
        if inside != marked:
            out.append("<b>" if inside else "</b>")
            marked = inside
        piece = escaped(text[start:end])
        if at_span < len(spans) and spans[at_span].start <= start:
            piece = Markup(f"<i class={escaped(spans[at_span].kind)}>{piece}</i>")
        out.append(piece)
    if marked:
        out.append("</b>")
    return "".join(out)


def _between(view: FileView, hunk: HunkView, last: int, display: FileDisplay) -> Iterator[str]:
    """The row above a hunk: where it is, and the unchanged lines before it."""
    first, end = last + 1, hunk.new_start - (1 if hunk.new_count else 0)
    less = hunk.new_start - hunk.old_start
    less += int(not hunk.old_count) * -1 + int(not hunk.new_count)
    words = f"@@ {hunk.number} of {len(view.hunks)}, line {hunk.new_start or hunk.old_start}"
    more = _more(first, end, less, display)
    where = tag("span", words, class_="where")
    title = tag("span", hunk.title, class_="soft") if hunk.title else ""
    shown = joined(more, where, title)
    yield f"<tr class=hunk data-hunk={hunk.number}><td colspan={_WIDTHS[display.layout]}>{shown}\n"


def _after(view: FileView, last: int, display: FileDisplay) -> Iterator[str]:
    change = view.entry.change
    if display.between is not None and change.old_mode and change.new_mode:
        hunk = view.hunks[-1]
        less = hunk.new_start + hunk.new_count - hunk.old_start - hunk.old_count
        less += int(not hunk.new_count) - int(not hunk.old_count)
        more = _more(last + 1, None, less, display)
        yield f"<tr class=hunk><td colspan={_WIDTHS[display.layout]}>{more}\n"


def _more(first: int, end: int | None, less: int, display: FileDisplay) -> Markup:
    """The button that fetches unchanged lines; None for the end of the file."""
    if display.between is None or (end is not None and first > end):
        return Markup("")
    return tag(
        "button",
        "\u2195 what follows" if end is None else f"\u2195 {end - first + 1} unchanged lines",
        type="button",
        class_="more",
        data_lines=display.between(first, end or 0, less),
    )
