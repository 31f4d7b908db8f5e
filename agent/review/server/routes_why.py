"""Why a line is there, and which lines a call wrote."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.past_runs.blame import Blame, TracedFile
from agent.review.pages.report import hiding
from agent.review.pages.why import CallStory, WrittenLines, call_page, why_line
from agent.review.server.opened_run import OpenedRun
from agent.review.server.request import answer, fragment, frame_of, opened
from agent.review.server.routes_diff import entry_of
from agent.untrusted_text import path_text, visible
from sandbox.git.line_authors import UNKNOWN, AuthoredLine

_SIDES = {"old": "-", "new": "+"}


def routes() -> list[Route]:
    return [
        Route("/run/{run}/why/{number:int}/{side}/{line:int}", why),
        Route("/run/{run}/call/{call:int}", call),
    ]


def why(request: Request) -> Response:
    """A piece that is put below the line."""
    run = opened(request)
    entry = entry_of(request, run)
    sign = _SIDES.get(request.path_params["side"])
    if sign is None:
        raise HTTPException(404)
    address = partial(frame_of(request).address, "run", run.run.id, "call")
    say = partial(why_line, hide=hiding(run.run.summary.findings), call_address=address)
    found = run.blame
    if isinstance(found, str):
        return fragment(say(f"Who wrote it can't be told: {visible(found)}", ()))
    traced = next(it for it in found.files if it.change.path == entry.diff.path)
    line = _line(traced, sign, request.path_params["line"])
    if line is None and traced.hunks is None:
        words, step = f"Single lines were not followed ({visible(traced.why)}).", traced.last
    elif line is None:
        return fragment(say("It stood there before the run: no call touched it.", ()))
    else:
        words, step = "", line.step
    if step == UNKNOWN:
        notes = "; ".join(map(visible, found.unfollowed))
        tail = f" ({notes})" if notes else ""
        return fragment(say(f"{words} No call was seen to write it{tail}.".strip(), ()))
    span = found.spans[step]
    verb = "wrote" if sign == "+" else "removed"
    if span.first == span.last:
        words = f"{words} Call {span.first} {verb} it.".strip()
    else:
        words = f"{words} One of the calls {span.first} to {span.last} {verb} it.".strip()
    if span.backgrounds:
        listed = ", ".join(map(str, span.backgrounds))
        words += f" So may what runs in the background since call {listed}."
    return fragment(say(words, _stories(run, range(span.last, span.first - 1, -1))))


def _line(traced: TracedFile, sign: str, number: int) -> AuthoredLine | None:
    lines = (line for hunk in traced.hunks or () for line in hunk.lines)
    return next((line for line in lines if (line.sign, line.number) == (sign, number)), None)


def _stories(run: OpenedRun, numbers: Sequence[int]) -> list[CallStory]:
    known = run.stories
    return [known[number] for number in numbers if number in known]


def call(request: Request) -> Response:
    """The page of a call."""
    run = opened(request)
    number = request.path_params["call"]
    story = run.stories.get(number)
    if story is None:
        raise HTTPException(404, f"The run has no call {number}.")
    diff = frame_of(request).address("run", run.run.id, "diff")
    note, written = "", []
    if isinstance(run.blame, str):
        note = run.blame
    else:
        parts = {entry.diff.path: entry.number for entry in run.by_number.values()}

        def part(traced: TracedFile, line: int) -> str:
            at = f"-{line}" if line else ""
            return f"{diff}#part-{parts.get(traced.change.path, 0)}{at}"

        written = [*_written(run.blame, number, part)]
        shared = [span for span in run.blame.spans if span.first < span.last]
        if any(span.first <= number <= span.last for span in shared):
            note = "Several calls were looked at together: one of them wrote these."
    hide = hiding(run.run.summary.findings)
    return answer(request, run, "timeline", call_page(story, written, note, hide=hide))


def _written(
    found: Blame, number: int, part: Callable[[TracedFile, int], str]
) -> Iterator[WrittenLines]:
    mine = {
        step
        for step, span in enumerate(found.spans)
        if span.first <= number <= span.last or number in span.backgrounds
    }
    for traced in found.files:
        path = path_text(traced.change.path)
        added = [
            line.number
            for hunk in traced.hunks or ()
            for line in hunk.lines
            if line.sign == "+" and line.step in mine
        ]
        for first, last in _ranges(added):
            yield WrittenLines(path=path, address=part(traced, first), first=first, last=last)
        if not added and traced.last in mine:
            yield WrittenLines(path=path, address=part(traced, 0), first=0, last=0)


def _ranges(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Numbers that follow each other, as their first and last."""
    if not numbers:
        return
    ends = [at for at, (one, other) in enumerate(pairwise(numbers), start=1) if other != one + 1]
    for start, end in pairwise((0, *ends, len(numbers))):
        yield numbers[start], numbers[end - 1]
