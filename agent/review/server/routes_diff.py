"""The diff of a run: all files, the lines of one, unchanged lines between hunks."""

from collections.abc import Iterator, Sequence
from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agent.review.pages.diff import (
    Colours,
    DiffLayout,
    FileDisplay,
    colourless,
    file_card,
    file_lines,
    line_counts,
    path_words,
    same_lines,
)
from agent.review.pages.markup import Markup, joined, tag
from agent.review.pages.overview import alarms
from agent.review.pages.patch_view import (
    FileEntry,
    FileView,
    LineKind,
    LineView,
    file_view,
    line_texts,
)
from agent.review.server.desk import desk_of
from agent.review.server.opened_run import OpenedRun
from agent.review.server.request import address_in, answer, entry_of, fragment, opened
from agent.review.server.routes_pictures import pictures
from agent.review.server.routes_run import problems
from agent.untrusted_text import visible

_LINES_AT_ONCE = 60
"""The first files have their lines in the page, up to so many; the others are fetched."""
_FILES_AT_ONCE = 8
"""So many files are in the page; the others, and their places in the list, are fetched then."""
_BETWEEN = 200
"""So many unchanged lines are fetched at once."""
_CONTENT_BYTES = 4 << 20
LAYOUT_COOKIE = "moonpool-layout"


def layout_of(request: Request) -> DiffLayout:
    wanted = request.cookies.get(LAYOUT_COOKIE)
    return DiffLayout.SPLIT if wanted == DiffLayout.SPLIT else DiffLayout.UNIFIED


def diff(request: Request) -> Response:
    run = opened(request)
    return answer(request, run, "diff", _parts(request, run))


def _parts(request: Request, run: OpenedRun) -> Iterator[Markup]:
    yield from alarms(run.run.summary, tuple(problems(run)))
    if isinstance(run.files, str) or not run.files:
        words = run.files if isinstance(run.files, str) else "The run changed nothing."
        yield tag("h1", "The diff")
        yield tag("p", visible(words), class_="card")
        return
    layout = layout_of(request)
    yield tag("h1", "The diff", class_="unseen")
    yield _bar(layout, len(run.files))
    at_once = len(run.files) if "all" in request.query_params else _FILES_AT_ONCE
    first, later = run.files[:at_once], len(run.files) - at_once
    files = tag("ul", *map(_item, first), class_="file-list", id="file-list")
    yield tag("nav", files, class_="files", aria_label="Files of the patch")
    yield tag("div", *_cards(request, run, first), class_="cards")
    if later > 0:
        address = address_in(request, run)
        link = tag("a", f"Show {later} more files", href=f"{address('diff')}?all")
        yield tag("p", link, id="cards-later", data_cards=address("cards"), class_="card")


def _bar(layout: DiffLayout, count: int) -> Markup:
    is_split = layout is DiffLayout.SPLIT
    layouts = tag(
        "button",
        "Unified" if is_split else "Side by side",
        type="button",
        id="layout-button",
        data_layout=DiffLayout.UNIFIED if is_split else DiffLayout.SPLIT,
        title="The other layout (s)",
    )
    find = tag(
        "input",
        type="search",
        id="file-search",
        placeholder=f"Find one of {count} files (f)",
        aria_label="Find a file",
        autocomplete="off",
        spellcheck="false",
    )
    return tag("div", find, layouts, class_="bar")


def _item(entry: FileEntry) -> Markup:
    worst = max((int(finding.severity) for finding in entry.findings), default=0)
    if entry.concerns:
        worst = max(worst, 2)
    mark = tag("span", "!", class_=f"risk-{worst}", title="has findings") if worst > 1 else ""
    return tag(
        "li",
        tag("a", mark, tag("span", *path_words(entry.change)), href=f"#part-{entry.number}"),
        tag("span", *line_counts(entry.change), class_="lines"),
        data_name=entry.path.lower(),
    )


def cards(request: Request) -> Response:
    """The files that the page did not have at once: their places in the list, and their cards."""
    run = opened(request)
    later = () if isinstance(run.files, str) else run.files[_FILES_AT_ONCE:]
    shown = tag("div", *_cards(request, run, later, room=0))
    return fragment(joined(tag("ul", *map(_item, later)), shown))


def _cards(
    request: Request, run: OpenedRun, files: Sequence[FileEntry], *, room: int = _LINES_AT_ONCE
) -> Iterator[Markup]:
    for entry in files:
        size = (entry.change.added_lines or 0) + (entry.change.deleted_lines or 0)
        view = file_view(entry) if size <= room else None
        room -= view.line_count if view is not None else 0
        yield joined(file_card(entry, view, _display(request, run, entry, view)), "\n")


def _display(
    request: Request, run: OpenedRun, entry: FileEntry, view: FileView | None
) -> FileDisplay:
    """How a file is shown; its colours are asked for where its lines are."""
    address, number = address_in(request, run), entry.number
    colours: Colours = colourless
    if view is not None:
        key = run.run.id, run.run.summary.patch_sha256, number
        colours = desk_of(request).colouring.of(key, view, _old_lines(run, entry) or ())
    return FileDisplay(
        layout=layout_of(request),
        colours=colours,
        lines=address("file", number),
        why=address("why", number),
        between=partial(address, "between", number) if run.has_old(entry) else None,
        images=pictures(entry, address("picture", number)),
    )


def _old_lines(run: OpenedRun, entry: FileEntry) -> list[str] | None:
    """The old file's lines as they are shown; None where it was not kept, or is too large."""
    content = run.old_content(entry, _CONTENT_BYTES)
    if content is None or entry.change.added_lines is None:
        return None
    old = content.split(b"\n")
    if old and not old[-1]:
        old.pop()
    return line_texts(entry, old)


def lines(request: Request) -> Response:
    """The lines of one file: a piece for the page, or a page where a person follows the link."""
    run = opened(request)
    entry = entry_of(run, request.path_params["number"])
    view = file_view(entry)
    display = _display(request, run, entry, view)
    if request.headers.get("sec-fetch-mode") == "navigate":
        return answer(request, run, "diff", [file_card(entry, view, display)])
    return fragment(file_lines(view, display))


def between(request: Request) -> Response:
    """Unchanged lines from the old file, as rows of the table that asks for them."""
    run = opened(request)
    asked = request.path_params
    entry = entry_of(run, asked["number"])
    try:
        less = int(asked["less"])
    except ValueError:
        raise HTTPException(404) from None
    first, last = asked["first"], asked["last"] or 1 << 40
    old = _old_lines(run, entry)
    if old is None:
        raise HTTPException(404, "The old file was not kept, or is too large to show.")
    shown = []
    for new in range(first, min(last, first + _BETWEEN - 1) + 1):
        number = new - less
        if not 0 < number <= len(old):
            break
        shown.append(LineView(kind=LineKind.SAME, old=number, new=new, text=old[number - 1]))
    rows = same_lines(shown, _display(request, run, entry, file_view(entry)))
    return fragment(f"<table>{rows}</table>")
