"""The diff of a run: all files, the lines of one, unchanged lines between hunks."""

from collections.abc import Iterator, Sequence
from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.review.pages.diff import (
    Colours,
    DiffLayout,
    FileLinks,
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
from agent.review.server.colouring import Colouring
from agent.review.server.opened_run import OpenedRun
from agent.review.server.request import answer, fragment, frame_of, opened
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


def routes() -> list[Route]:
    return [
        Route("/run/{run}/diff", diff),
        Route("/run/{run}/cards", cards),
        Route("/run/{run}/file/{number:int}", lines),
        Route("/run/{run}/between/{number:int}/{first:int}/{last:int}/{less}", between),
    ]


def layout_of(request: Request) -> DiffLayout:
    wanted = request.cookies.get(LAYOUT_COOKIE)
    return DiffLayout.SPLIT if wanted == DiffLayout.SPLIT else DiffLayout.UNIFIED


def entry_of(request: Request, run: OpenedRun) -> FileEntry:
    entry = run.by_number.get(request.path_params["number"])
    if entry is None:
        raise HTTPException(404, "The patch has no such file.")
    return entry


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
        address = partial(frame_of(request).address, "run", run.run.id)
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
    layout = layout_of(request)
    for entry in files:
        links = _links(request, run, entry)
        size = (entry.change.added_lines or 0) + (entry.change.deleted_lines or 0)
        if size > room:
            yield joined(file_card(entry, None, layout=layout, links=links), "\n")
            continue
        view = file_view(entry)
        room -= view.line_count
        colours = _colours(request, run, entry, view)
        card = file_card(entry, view, layout=layout, colours=colours, links=links)
        yield joined(card, "\n")


def _links(request: Request, run: OpenedRun, entry: FileEntry) -> FileLinks:
    frame = frame_of(request)

    def address(first: int, last: int, less: int) -> str:
        return frame.address("run", run.run.id, "between", entry.number, first, last, less)

    kept = not isinstance(run.baseline, str) and run.has_old(entry)
    return FileLinks(
        lines=frame.address("run", run.run.id, "file", entry.number),
        why=frame.address("run", run.run.id, "why", entry.number),
        between=address if kept else None,
        images=pictures(entry, frame.address("run", run.run.id, "picture", entry.number)),
    )


def _colours(request: Request, run: OpenedRun, entry: FileEntry, view: FileView) -> Colours:
    colouring: Colouring = request.app.state.colouring
    key = run.run.id, run.run.summary.patch_sha256, entry.number
    return colouring.of(key, view, _old_lines(run, entry) or ())


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
    entry = entry_of(request, run)
    view, links, layout = file_view(entry), _links(request, run, entry), layout_of(request)
    colours = _colours(request, run, entry, view)
    if request.headers.get("sec-fetch-mode") == "navigate":
        card = file_card(entry, view, layout=layout, colours=colours, links=links)
        return answer(request, run, "diff", [card])
    return fragment(file_lines(view, layout=layout, colours=colours, links=links))


def between(request: Request) -> Response:
    """Unchanged lines from the old file, as rows of the table that asks for them."""
    run = opened(request)
    entry = entry_of(request, run)
    asked = request.path_params
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
    colours = _colours(request, run, entry, file_view(entry))
    rows = same_lines(shown, layout_of(request), colours)
    return fragment(f"<table>{rows}</table>")
