"""Deciding about a patch: applying what is accepted, sending it back, watching that, ending it."""

import secrets
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.errors import UsageError
from agent.record.decisions import decisions
from agent.review.decide.action import ActionFailed, ReviewAction
from agent.review.decide.applying import ActionWatch, apply_accepted
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


def routes() -> list[Route]:
    return [
        Route("/run/{run}/decide", page),
        Route("/run/{run}/decide/apply", taking(PostedApply, apply), methods=["POST"]),
        Route("/run/{run}/decide/send-back", taking(PostedSendBack, back), methods=["POST"]),
        Route("/run/{run}/decide/cancel", taking(PostedNothing, cancel), methods=["POST"]),
        Route("/run/{run}/action", action),
        Route("/run/{run}/action/result", result),
    ]


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


def apply(request: Request, form: PostedApply) -> Response:
    decided = _as_seen(request, form)
    if isinstance(decided, Response):
        return decided
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
    directory, operator = decided.run.directory, decided.desk.operator
    return _begun(
        decided, form, "apply", lambda watch: apply_accepted(directory, order, operator, watch)
    )


def back(request: Request, form: PostedSendBack) -> Response:
    decided = _as_seen(request, form)
    if isinstance(decided, Response):
        return decided
    words = request_of(decided.files, decided.marks, words=form.words)
    run, operator, model = decided.run, decided.desk.operator, form.model.strip() or None
    return _begun(
        decided,
        form,
        "send back",
        lambda watch: send_back(run, words, operator, watch, model=model),
    )


def _as_seen(request: Request, form: PostedAction) -> DecidedRun | Response:
    """The run, if patch and marks are those that the page showed; else the answer to it."""
    decided = DecidedRun(request)
    there = decided.desk.board.newest(decided.run.id)
    if there is not None and there.key == form.key:
        return JSONResponse(_state(there, 0, 0.0))
    if form.patch != decided.of.patch or form.revision != decided.marks.revision:
        raise UsageError("somebody marked something meanwhile: look at it, and do it again")
    return decided


def _begun(
    decided: DecidedRun, form: PostedAction, kind: str, work: Callable[[ActionWatch], object]
) -> Response:
    made = decided.desk.board.begin(decided.run.id, form.key, kind, work)
    return JSONResponse(_state(made, 0, 0.0))


def _newest(request: Request) -> ReviewAction | None:
    return desk_of(request).board.newest(opened(request).run.id)


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
