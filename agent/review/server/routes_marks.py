"""Marks on a patch: what is accepted and rejected, read and said, for several reviewers at once.

Every answer has all marks as they stand then, so that who was late sees what another one did.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent.review.decide.marks import Verdict, counts, parts_of
from agent.review.decide.store import MarkedMeanwhile
from agent.review.server.desk import DecidedRun, Endpoint, PostedForm, taking
from agent.untrusted_text import path_text, visible


class PostedMark(PostedForm):
    patch: str
    """Its sha256: a page of another patch decides nothing about this one."""


class PostedVerdicts(PostedMark):
    seen: int
    verdicts: tuple[tuple[int, int, Literal["accepted", "rejected", ""]], ...]
    """Number of the file, part, and what is said of it."""


class PostedReviewed(PostedMark):
    seen: int
    file: int
    done: bool


class PostedComment(PostedMark):
    file: int
    side: Literal["new", "old"]
    line: int
    text: str


class PostedWithdrawal(PostedMark):
    id: str


Mark = TypeVar("Mark", bound=PostedMark)


def marking(kind: type[Mark]) -> Callable[[Callable[[DecidedRun, Mark], None]], Endpoint]:
    """Makes a route that takes such a mark."""

    def made(do: Callable[[DecidedRun, Mark], None]) -> Endpoint:
        return taking(kind)(partial(_marked, do))

    return made


def _marked(do: Callable[[DecidedRun, Mark], None], request: Request, form: Mark) -> Response:
    decided = DecidedRun(request)
    words = ""
    if form.patch != decided.of.patch:
        words = "The run has another patch by now: reload the page."
    else:
        try:
            do(decided, form)
        except MarkedMeanwhile as error:
            words = str(error)
    if words:
        return JSONResponse({"error": words, **_state(decided)}, status_code=409)
    return JSONResponse(_state(decided))


def marks(request: Request) -> Response:
    """All of them; nothing where the page has seen them all."""
    decided = DecidedRun(request)
    state = _state(decided)
    seen = request.query_params.get("seen", "")
    same = request.query_params.get("patch") == decided.of.patch
    if same and seen == str(state["revision"]):
        return Response(status_code=204)
    return JSONResponse(state)


@marking(PostedVerdicts)
def decide(decided: DecidedRun, form: PostedVerdicts) -> None:
    parts = {number: parts_of(file) for number, file in enumerate(decided.files, 1)}
    verdicts = {}
    for number, part, value in form.verdicts:
        path = decided.path(number)
        if part not in parts[number]:
            raise HTTPException(400, "The file has no such part.")
        verdicts[path, part] = Verdict(value)
    desk = decided.desk
    desk.store.decide(decided.of, verdicts, by=desk.operator.name, seen=form.seen)


@marking(PostedReviewed)
def reviewed(decided: DecidedRun, form: PostedReviewed) -> None:
    desk, path = decided.desk, decided.path(form.file)
    desk.store.review(decided.of, path, done=form.done, by=desk.operator.name, seen=form.seen)


@marking(PostedComment)
def comment(decided: DecidedRun, form: PostedComment) -> None:
    desk = decided.desk
    desk.store.comment(
        decided.of,
        decided.path(form.file),
        side=form.side,
        line=form.line,
        text=form.text,
        by=desk.operator.name,
    )


@marking(PostedWithdrawal)
def withdraw(decided: DecidedRun, form: PostedWithdrawal) -> None:
    decided.desk.store.withdraw(decided.of, form.id)


def _state(decided: DecidedRun) -> dict[str, Any]:
    """All marks as a page has them. Texts are visible; a page shows them as text."""
    files, said = decided.files, decided.marks
    numbers = {file.path: number for number, file in enumerate(files, 1)}
    so_far = counts(files, said)
    return {
        "patch": decided.of.patch,
        "revision": said.revision,
        "counts": [so_far[verdict] for verdict in Verdict],
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
