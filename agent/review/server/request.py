"""What a route needs of a request: the frame of its page, and the run that it names."""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from agent.review.pages.frame import PageLink, ServedFrame, served_page
from agent.review.pages.markup import Markup
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
    runs: OpenedRuns = request.app.state.runs
    return runs.open(request.path_params["run"])


def answer(request: Request, opened_run: OpenedRun, here: str, body: Iterable[Markup]) -> Response:
    """A page of a run."""
    frame, summary = frame_of(request), opened_run.run.summary
    run_id = opened_run.run.id
    names = (
        ("Overview", "", ""),
        ("Diff", "diff", str(len(summary.changes) or "")),
        ("Timeline", "timeline", str(summary.turns or "")),
        ("Decide", "decide", ""),
    )
    links = [
        PageLink(
            name=name,
            address=frame.address("run", run_id, *filter(None, [part])),
            is_here=part == here,
            aside=aside,
        )
        for name, part, aside in names
    ]
    page = served_page(frame, f"Moonpool run {run_id}", body, links=links)
    return fragment(page)


def fragment(markup: str) -> Response:
    """A page, or a piece that a page of ours puts into itself."""
    return HTMLResponse(markup.encode("utf-8", "replace"))
