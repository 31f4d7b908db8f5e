"""Marks on a patch: what is accepted and rejected, read and said, for several reviewers at once.

Every answer has all marks as they stand then, so that who was late sees what another one did.
"""

from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.review.decide.marks import Verdict, counts, parts_of
from agent.review.decide.store import MarkedMeanwhile
from agent.review.server.desk import DecidedRun, PostedForm, desk_of, taking
from agent.untrusted_text import path_text, visible


class PostedVerdicts(PostedForm):
    patch: str
    """Its sha256: a page of another patch decides nothing about this one."""
    seen: int
    verdicts: tuple[tuple[int, int, Literal["accepted", "rejected", ""]], ...]
    """Number of the file, part, and what is said of it."""


class PostedReviewed(PostedForm):
    patch: str
    seen: int
    file: int
    done: bool


class PostedComment(PostedForm):
    patch: str
    file: int
    side: Literal["new", "old"]
    line: int
    text: str


class PostedWithdrawal(PostedForm):
    patch: str
    id: str


def routes() -> list[Route]:
    return [
        Route("/run/{run}/marks", marks),
        Route("/run/{run}/marks/decide", taking(PostedVerdicts, decide), methods=["POST"]),
        Route("/run/{run}/marks/reviewed", taking(PostedReviewed, reviewed), methods=["POST"]),
        Route("/run/{run}/marks/comment", taking(PostedComment, comment), methods=["POST"]),
        Route("/run/{run}/marks/withdraw", taking(PostedWithdrawal, withdraw), methods=["POST"]),
    ]


def marks(request: Request) -> Response:
    """All of them; nothing where the page has seen them all."""
    decided = DecidedRun(request)
    state = _state(decided)
    seen = request.query_params.get("seen", "")
    same = request.query_params.get("patch") == decided.of.patch
    if same and seen == str(state["revision"]):
        return Response(status_code=204)
    return JSONResponse(state)


def decide(request: Request, form: PostedVerdicts) -> Response:
    decided = DecidedRun(request)
    if stale := _stale(decided, form.patch):
        return stale
    parts = {number: parts_of(file) for number, file in enumerate(decided.files, 1)}
    verdicts = {}
    for number, part, value in form.verdicts:
        path = decided.path(number)
        if part not in parts[number]:
            return JSONResponse({"error": "The file has no such part."}, status_code=400)
        verdicts[path, part] = Verdict(value)
    desk = decided.desk
    try:
        desk.store.decide(decided.of, verdicts, by=desk.operator.name, seen=form.seen)
    except MarkedMeanwhile as error:
        return _late(decided, error)
    return JSONResponse(_state(decided))


def reviewed(request: Request, form: PostedReviewed) -> Response:
    decided = DecidedRun(request)
    if stale := _stale(decided, form.patch):
        return stale
    desk = decided.desk
    path = decided.path(form.file)
    try:
        desk.store.review(decided.of, path, done=form.done, by=desk.operator.name, seen=form.seen)
    except MarkedMeanwhile as error:
        return _late(decided, error)
    return JSONResponse(_state(decided))


def comment(request: Request, form: PostedComment) -> Response:
    decided = DecidedRun(request)
    if stale := _stale(decided, form.patch):
        return stale
    desk = decided.desk
    desk.store.comment(
        decided.of,
        decided.path(form.file),
        side=form.side,
        line=form.line,
        text=form.text,
        by=desk.operator.name,
    )
    return JSONResponse(_state(decided))


def withdraw(request: Request, form: PostedWithdrawal) -> Response:
    decided = DecidedRun(request)
    if stale := _stale(decided, form.patch):
        return stale
    desk_of(request).store.withdraw(decided.of, form.id)
    return JSONResponse(_state(decided))


def _stale(decided: DecidedRun, patch: str) -> Response | None:
    """The answer to a page of a patch that the run has no more."""
    if patch == decided.of.patch:
        return None
    words = "The run has another patch by now: reload the page."
    return JSONResponse({"error": words, **_state(decided)}, status_code=409)


def _late(decided: DecidedRun, error: MarkedMeanwhile) -> Response:
    return JSONResponse({"error": str(error), **_state(decided)}, status_code=409)


def _state(decided: DecidedRun) -> dict[str, Any]:
    """All marks as a page has them. Texts are visible; a page shows them as text."""
    files, said = decided.files, decided.marks
    numbers = {file.path: number for number, file in enumerate(files, 1)}
    so_far = counts(files, said)
    return {
        "patch": decided.of.patch,
        "revision": said.revision,
        "counts": [so_far.accepted, so_far.rejected, so_far.undecided],
        "files": {
            number: {
                "path": path_text(file.path),
                "reviewed": said.is_reviewed(file.path),
                "parts": [[part, said.verdict(file.path, part)] for part in parts_of(file)],
            }
            for number, file in enumerate(files, 1)
        },
        "comments": [
            {
                "id": one.id,
                "file": numbers[one.path],
                "side": one.side,
                "line": one.line,
                "text": visible(one.text),
                "by": visible(one.by),
                "at": one.at,
            }
            for one in said.comments
            if one.path in numbers
        ],
    }
