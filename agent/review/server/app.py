"""The pages by their addresses: one application, behind the guard.

Owns which routes there are and what an error looks like. What a route answers is in the module that
the table names, which knows this one through `agent.review.server.request` alone.
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
            Route("/run/{run}", routes_run.overview),
            Route("/run/{run}/patch", routes_run.patch),
            Route("/run/{run}/diff", routes_diff.diff),
            Route("/run/{run}/cards", routes_diff.cards),
            Route("/run/{run}/file/{number:int}", routes_diff.lines),
            Route(
                "/run/{run}/between/{number:int}/{first:int}/{last:int}/{less}", routes_diff.between
            ),
            Route("/run/{run}/marks", routes_marks.marks),
            Route("/run/{run}/marks/decide", routes_marks.decide, methods=["POST"]),
            Route("/run/{run}/marks/reviewed", routes_marks.reviewed, methods=["POST"]),
            Route("/run/{run}/marks/comment", routes_marks.comment, methods=["POST"]),
            Route("/run/{run}/marks/withdraw", routes_marks.withdraw, methods=["POST"]),
            Route("/run/{run}/decide", routes_decide.page),
            Route("/run/{run}/decide/apply", routes_decide.apply, methods=["POST"]),
            Route("/run/{run}/decide/send-back", routes_decide.back, methods=["POST"]),
            Route("/run/{run}/decide/cancel", routes_decide.cancel, methods=["POST"]),
            Route("/run/{run}/action", routes_decide.action),
            Route("/run/{run}/action/result", routes_decide.result),
            Route("/run/{run}/picture/{number:int}/{side}", routes_pictures.picture),
            Route("/runs", routes_list.runs),
            Route("/run/{run}/beside", routes_list.beside),
            Route("/accept-clean", routes_list.accept_clean, methods=["POST"]),
            Route("/run/{run}/timeline", routes_timeline.timeline),
            Route("/run/{run}/events", routes_timeline.events),
            Route("/run/{run}/why/{number:int}/{side}/{line:int}", routes_why.why),
            Route("/run/{run}/call/{call:int}", routes_why.call),
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
