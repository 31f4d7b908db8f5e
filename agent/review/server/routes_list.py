"""The list of runs, or of a batch's attempts; from one to the next; accepting what is clean."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent.review.decide.listing import RunFilter, RunQuery, SortKey
from agent.review.pages.frame import PageLink, served_page
from agent.review.server.desk import PostedNothing, desk_of, taking
from agent.review.server.request import fragment, frame_of, opened
from agent.review.server.runs_table import runs_parts

_WORDS = 200
K = TypeVar("K", bound=StrEnum)


def runs(request: Request) -> Response:
    frame, desk = frame_of(request), desk_of(request)
    query = _query(request)
    listing = desk.index.listing(query)
    base = frame.address("runs")

    def address(**changed: object) -> str:
        return f"{base}?{urlencode(_parameters(query, changed))}"

    links = [PageLink(name="Batch" if listing.is_batch else "Runs", address=base, is_here=True)]
    return fragment(
        served_page(frame, "Moonpool runs", runs_parts(listing, frame, address), links=links)
    )


def beside(request: Request) -> Response:
    """The runs before and after one, for the keys."""
    before, after = desk_of(request).index.beside(opened(request).run.id)
    return JSONResponse({"before": before, "after": after})


@taking(PostedNothing)
def accept_clean(request: Request, _form: PostedNothing) -> Response:
    desk = desk_of(request)
    return JSONResponse({"count": desk.index.accept_clean(by=desk.operator.name)})


def _query(request: Request) -> RunQuery:
    """What the address asks for; what it can't mean counts for nothing."""
    asked = request.query_params
    page = asked.get("page", "")
    return RunQuery(
        only=_one_of(RunFilter, asked.get("only", "")) or RunFilter.ALL,
        words=asked.get("words", "")[:_WORDS],
        sort=_one_of(SortKey, asked.get("sort", "")),
        backwards=asked.get("backwards") == "yes",
        page=int(page) if page.isdecimal() and len(page) < 9 else 1,
    )


def _one_of(kinds: type[K], text: str) -> K | None:
    return next((kind for kind in kinds if kind == text), None)


def _parameters(query: RunQuery, changed: Mapping[str, object]) -> dict[str, str]:
    asked: dict[str, object] = {
        "only": "" if query.only is RunFilter.ALL else query.only,
        "words": query.words,
        "sort": query.sort or "",
        "backwards": query.backwards,
        "page": query.page,
        **changed,
    }
    asked["backwards"] = "yes" if asked["backwards"] else ""
    return {name: str(value) for name, value in asked.items() if value not in {"", 1}}
