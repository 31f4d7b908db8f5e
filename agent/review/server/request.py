"""What a route needs of a request: the frame of its page, and the run that it names."""

from collections.abc import Callable, Iterable
from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from agent.review.pages.findings import PartAddress
from agent.review.pages.frame import PageLink, ServedFrame, served_page
from agent.review.pages.markup import Markup
from agent.review.pages.patch_view import FileEntry
from agent.review.server.opened_run import OpenedRun, OpenedRuns
from agent.review.server.session import ReviewSession


def frame_of(request: Request) -> ServedFrame:
    session: ReviewSession = request.state.session
    return ServedFrame(base=session.base, nonce=request.state.nonce, csrf=session.csrf)


def opened(request: Request) -> OpenedRun:
    """The run that the address names.

    Raises:
        UsageError, RecordError: there is none, or it can't be read.
    """
    runs: OpenedRuns = request.app.state.desk.runs
    return runs.open(request.path_params["run"])


def entry_of(run: OpenedRun, number: int) -> FileEntry:
    """A file of a run's patch. Raises HTTPException for a number that no file has."""
    entry = run.by_number.get(number)
    if entry is None:
        raise HTTPException(404, "The patch has no such file.")
    return entry


def address_in(request: Request, run: OpenedRun) -> Callable[..., str]:
    """Gives the addresses of a run's pages, by their parts."""
    return partial(frame_of(request).address, "run", run.run.id)


def part_address(request: Request, run: OpenedRun) -> PartAddress:
    """Gives where the diff shows a path of the patch, at a line of the new file."""
    diff = address_in(request, run)("diff")
    numbers = {entry.diff.path: entry.number for entry in run.by_number.values()}

    def address(path: bytes, line: int | None) -> str:
        at = f"-{line}" if line else ""
        return f"{diff}#part-{numbers[path]}{at}" if path in numbers else ""

    return address


def answer(request: Request, opened_run: OpenedRun, here: str, body: Iterable[Markup]) -> Response:
    """A page of a run."""
    summary, address = opened_run.run.summary, address_in(request, opened_run)
    names = (
        ("Overview", "", ""),
        ("Diff", "diff", str(len(summary.changes) or "")),
        ("Timeline", "timeline", str(summary.turns or "")),
        ("Decide", "decide", ""),
    )
    links = [
        PageLink(
            name=name,
            address=address(*filter(None, [part])),
            is_here=part == here,
            aside=aside,
        )
        for name, part, aside in names
    ]
    title = f"Moonpool run {opened_run.run.id}"
    return fragment(served_page(frame_of(request), title, body, links=links))


def fragment(markup: str) -> Response:
    """A page, or a piece that a page of ours puts into itself."""
    return HTMLResponse(markup.encode("utf-8", "replace"))
