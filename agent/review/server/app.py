"""The pages by their addresses: one application, behind the guard.

Owns which routes there are and what an error looks like. A module of routes gives a list of them
and knows this one through `agent.review.server.request` alone.
"""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from agent.errors import RecordError, UsageError
from agent.review.pages.frame import DECIDE_SCRIPT, SCRIPT, served_page
from agent.review.pages.markup import STYLE, tag
from agent.review.server import (
    routes_decide,
    routes_diff,
    routes_list,
    routes_marks,
    routes_pictures,
    routes_run,
    routes_timeline,
    routes_why,
)
from agent.review.server.desk import ReviewDesk
from agent.review.server.guard import Guard
from agent.review.server.request import frame_of
from agent.review.server.session import ReviewSession
from agent.untrusted_text import visible
from sandbox.errors import SandboxError


def application(session: ReviewSession, desk: ReviewDesk, *, first: str) -> Guard:
    """The whole server.

    Args:
        desk: whose runs they are, and who decides; to be closed after.
        first: what is shown first, as a path below the session's base.
    """

    async def start(request: Request) -> Response:
        return RedirectResponse(frame_of(request).address(first), status_code=303)

    app = Starlette(
        routes=[
            Route("/", start),
            Route("/static/{name}", _static),
            *routes_run.routes(),
            *routes_diff.routes(),
            *routes_marks.routes(),
            *routes_decide.routes(),
            *routes_pictures.routes(),
            *routes_list.routes(),
            *routes_timeline.routes(),
            *routes_why.routes(),
        ],
        exception_handlers={
            HTTPException: _http_error,
            UsageError: _known_error,
            RecordError: _known_error,
            SandboxError: _known_error,
        },
    )
    # A path with another slash is another path.
    app.router.redirect_slashes = False
    app.state.desk = desk
    return Guard(app, session)


_STATIC = {
    "review.css": (STYLE, "text/css; charset=utf-8"),
    "review.js": (SCRIPT, "text/javascript; charset=utf-8"),
    "decide.js": (DECIDE_SCRIPT, "text/javascript; charset=utf-8"),
}


async def _static(request: Request) -> Response:
    known = _STATIC.get(request.path_params["name"])
    if known is None:
        raise HTTPException(404)
    path, kind = known
    return PlainTextResponse(path.read_bytes(), headers={"content-type": kind})


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error_page(request, error.status_code, error.detail)


async def _known_error(request: Request, error: Exception) -> Response:
    return _error_page(request, 404, str(error))


def _error_page(request: Request, status: int, words: str) -> Response:
    parts = [tag("h1", "This can't be shown"), tag("p", visible(words), class_="alarm")]
    page = served_page(frame_of(request), "Moonpool review", parts)
    return HTMLResponse(page.encode("utf-8", "replace"), status_code=status)
