"""Deciding about a patch: applying what is accepted, sending it back, watching that, ending it."""

import secrets
from collections.abc import Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent.errors import UsageError
from agent.record.decisions import decisions
from agent.review.decide.action import ActionFailed, ActionWork, ReviewAction
from agent.review.decide.applying import apply_accepted
from agent.review.decide.marks import accepted_choice
from agent.review.decide.outcome import Applied, ApplyOrder, CheckFailed, DoesNotFit, PartRefused
from agent.review.decide.sending_back import SentBack, request_of, send_back
from agent.review.pages.decision import (
    applied_words,
    check_words,
    conflict_words,
    decision_parts,
    refused_words,
)
from agent.review.pages.markup import Markup, joined, tag
from agent.review.pages.overview import alarms
from agent.review.server.desk import DecidedRun, PostedForm, PostedNothing, desk_of, taking
from agent.review.server.request import answer, fragment, frame_of, opened
from agent.review.server.routes_run import problems
from agent.untrusted_text import visible
from agent.verification import NotRun
from sandbox.workspace.source import NOWHERE, named, on_host

_WAIT_S = 8.0
"""So long a page that watches an action waits for news."""


class PostedAction(PostedForm):
    key: str
    """The same key again is the same click again."""
    patch: str
    revision: int
    """Of the marks that the page had: nobody applies what another one just rejected."""


class PostedApply(PostedAction):
    branch: str = ""
    three_way: bool = False
    risks: tuple[str, ...] = ()
    unverified: bool = False
    reason: str = ""


class PostedSendBack(PostedAction):
    words: str = ""
    model: str = ""


def page(request: Request) -> Response:
    found = opened(request)
    run = found.run
    if run.is_running:
        words = "The run still goes on: it can be decided about when it has ended."
        return answer(request, found, "decide", [tag("p", words, class_="card")])
    if isinstance(found.files, str):
        return answer(request, found, "decide", [tag("p", visible(found.files), class_="alarm")])
    workspace = on_host(named(run.summary.workspace))
    parts = decision_parts(
        run.summary,
        decisions(run.directory),
        has_place=workspace != NOWHERE and workspace.is_dir(),
        key=secrets.token_hex(8),
    )
    top = alarms(run.summary, tuple(problems(found)))
    return answer(request, found, "decide", [*top, *parts])


@taking(PostedApply)
def apply(request: Request, form: PostedApply) -> Response:
    def prepared(decided: DecidedRun) -> ActionWork:
        order = ApplyOrder(
            choice=accepted_choice(decided.files, decided.marks),
            branch=form.branch.strip() or None,
            three_way=form.three_way,
            accepted_risks=frozenset(form.risks),
            unverified=form.unverified,
            reason=form.reason,
        )
        if not order.choice:
            raise UsageError("nothing is accepted: accept a hunk first")
        return partial(apply_accepted, decided.run.directory, order, decided.desk.operator)

    return _begun(request, form, "apply", prepared)


@taking(PostedSendBack)
def back(request: Request, form: PostedSendBack) -> Response:
    def prepared(decided: DecidedRun) -> ActionWork:
        words = request_of(decided.files, decided.marks, words=form.words)
        model = form.model.strip() or None
        return partial(send_back, decided.run, words, decided.desk.operator, model=model)

    return _begun(request, form, "send back", prepared)


def _begun(
    request: Request, form: PostedAction, kind: str, prepared: Callable[[DecidedRun], ActionWork]
) -> Response:
    """Begin it, if patch and marks are those that the page showed; what has begun is shown."""
    decided = DecidedRun(request)
    board = decided.desk.board
    going = board.newest(decided.run.id)
    if going is None or going.key != form.key:
        if form.patch != decided.of.patch or form.revision != decided.marks.revision:
            raise UsageError("somebody marked something meanwhile: look at it, and do it again")
        going = board.begin(decided.run.id, form.key, kind, prepared(decided))
    return JSONResponse(_state(going, 0, 0.0))


def _newest(request: Request) -> ReviewAction | None:
    return desk_of(request).board.newest(opened(request).run.id)


@taking(PostedNothing)
def cancel(request: Request, _form: PostedNothing) -> Response:
    going = _newest(request)
    if going is not None:
        going.cancel()
    return JSONResponse({})


def action(request: Request) -> Response:
    """What the newest action said since a place; waits a while for more."""
    going = _newest(request)
    if going is None:
        return Response(status_code=204)
    since = request.query_params.get("since", "0")
    known = request.query_params.get("id") == going.id
    at = int(since) if known and since.isdecimal() and len(since) < 12 else 0
    return JSONResponse(_state(going, at, _WAIT_S if known else 0.0))


def _state(going: ReviewAction, since: int, wait_s: float) -> dict[str, object]:
    at, text = going.said(since, wait_s=wait_s)
    return {
        "id": going.id,
        "kind": going.kind,
        "over": going.is_over,
        "at": at,
        "text": visible(text),
        "next_key": secrets.token_hex(8),
        "run": going.result.run_id if isinstance(going.result, SentBack) else "",
    }


def result(request: Request) -> Response:
    """What came of the newest action, as a piece of the page."""
    going = _newest(request)
    if going is None or not going.is_over:
        return Response(status_code=204)
    return fragment(_in_words(request, going.result))


def _in_words(request: Request, came: object) -> Markup:  # noqa: PLR0911 - one for each
    match came:
        case Applied():
            done = applied_words(came.place, came.changes, came.commit)
            return joined(done, check_words(came.verification)) if came.changes else done
        case PartRefused():
            return refused_words(came.findings)
        case CheckFailed():
            could = not isinstance(came.verification, NotRun)
            why = "does not pass with what is accepted" if could else "could not be run"
            words = f"Nothing was written: its check {why}."
            return joined(tag("p", words), check_words(came.verification))
        case DoesNotFit():
            return conflict_words(came.message, merges=came.merges, regions=came.regions)
        case SentBack():
            address = frame_of(request).address("run", came.run_id, "timeline")
            link = tag("a", f"run {came.run_id}", href=address)
            return tag("p", "The agent goes on: ", link)
        case ActionFailed():
            return tag("p", visible(came.message), class_="alarm")
    return tag("p", "Done.")
