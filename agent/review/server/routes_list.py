"""The list of runs, or of a batch's attempts; from one to the next; accepting what is clean."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.record import outcome as outcomes
from agent.record.outcome import Finished
from agent.review.decide.listing import DecidedParts, RunFilter, RunQuery, SortKey
from agent.review.decide.run_rows import RunRow
from agent.review.pages.frame import PageLink, served_page
from agent.review.pages.runs_table import RunCells, RunsView, runs_parts
from agent.review.server.desk import PostedForm, desk_of, taking
from agent.review.server.request import fragment, frame_of, opened

_FINISHED = outcomes.name_of(Finished)
_WORDS = 200
K = TypeVar("K", bound=StrEnum)


class PostedAcceptClean(PostedForm):
    pass


def routes() -> list[Route]:
    return [
        Route("/runs", runs),
        Route("/run/{run}/beside", beside),
        Route("/accept-clean", taking(PostedAcceptClean, accept_clean), methods=["POST"]),
    ]


def runs(request: Request) -> Response:
    frame, desk = frame_of(request), desk_of(request)
    query = _query(request)
    listing = desk.index.listing(query)
    base = frame.address("runs")

    def address(**changed: object) -> str:
        return f"{base}?{urlencode(_parameters(query, changed))}"

    view = RunsView(
        title="The batch" if listing.is_batch else "Runs",
        rows=[_cells(row, parts, frame.address("run", row.run_id)) for row, parts in listing.rows],
        counts={str(kind): count for kind, count in listing.counts.items()},
        only=str(query.only),
        sort=str(query.sort or ""),
        backwards=query.backwards,
        words=query.words,
        page=min(query.page, listing.pages),
        pages=listing.pages,
        clean=listing.counts[RunFilter.CLEAN],
        address=address,
        base=base,
    )
    links = [PageLink(name="Batch" if listing.is_batch else "Runs", address=base, is_here=True)]
    return fragment(served_page(frame, "Moonpool runs", runs_parts(view), links=links))


def beside(request: Request) -> Response:
    """The runs before and after one, for the keys."""
    before, after = desk_of(request).index.beside(opened(request).run.id)
    return JSONResponse({"before": before, "after": after})


def accept_clean(request: Request, _form: PostedAcceptClean) -> Response:
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


def _cells(row: RunRow, parts: DecidedParts, address: str) -> RunCells:
    attempt = f", attempt {row.attempt}" if row.attempt > 1 else ""
    chosen = "" if row.is_chosen else ", another one is chosen"
    return RunCells(
        address=address if row.run_id is not None else "",
        name=row.name,
        aside=f"{row.run_id or ''}{attempt}{chosen}",
        outcome=row.outcome,
        is_good=row.outcome == _FINISHED,
        verified=row.verified,
        worst_finding=row.worst_finding,
        patch_bytes=row.patch_bytes,
        usd=row.usd,
        seconds=row.seconds,
        accepted=parts.accepted,
        rejected=parts.rejected,
        comments=parts.comments,
    )
