"""Why a line is there, and which lines a call wrote."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agent.past_runs.blame import Blame, TracedFile
from agent.review.pages.findings import PartAddress
from agent.review.pages.why import call_page, why_line
from agent.review.server.request import (
    address_in,
    answer,
    entry_of,
    fragment,
    opened,
    part_address,
)
from agent.untrusted_text import path_text, visible
from sandbox.git.line_authors import UNKNOWN, AuthoredLine

_SIDES = {"old": "-", "new": "+"}


def why(request: Request) -> Response:
    """A piece that is put below the line."""
    run = opened(request)
    entry = entry_of(run, request.path_params["number"])
    sign = _SIDES.get(request.path_params["side"])
    if sign is None:
        raise HTTPException(404)
    address = partial(address_in(request, run), "call")
    say = partial(why_line, hide=run.hide, call_address=address)
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
    who = f"One of the calls {span.first} to {span.last}"
    if span.first == span.last:
        who = f"Call {span.first}"
    words = f"{words} {who} {verb} it.".strip()
    if span.backgrounds:
        listed = ", ".join(map(str, span.backgrounds))
        words += f" So may what runs in the background since call {listed}."
    numbers = range(span.last, span.first - 1, -1)
    return fragment(say(words, [run.stories[it] for it in numbers if it in run.stories]))


def _line(traced: TracedFile, sign: str, number: int) -> AuthoredLine | None:
    lines = (line for hunk in traced.hunks or () for line in hunk.lines)
    return next((line for line in lines if (line.sign, line.number) == (sign, number)), None)


def call(request: Request) -> Response:
    """The page of a call."""
    run = opened(request)
    number = request.path_params["call"]
    story = run.stories.get(number)
    if story is None:
        raise HTTPException(404, f"The run has no call {number}.")
    note, written = "", []
    if isinstance(run.blame, str):
        note = run.blame
    else:
        written = [*_written(run.blame, number, part_address(request, run))]
        shared = [span for span in run.blame.spans if span.first < span.last]
        if any(span.first <= number <= span.last for span in shared):
            note = "Several calls were looked at together: one of them wrote these."
    return answer(request, run, "timeline", call_page(story, written, note, hide=run.hide))


def _written(found: Blame, number: int, part: PartAddress) -> Iterator[tuple[str, str]]:
    """What a call wrote, as words and the address that shows it."""
    mine = {
        step
        for step, span in enumerate(found.spans)
        if span.first <= number <= span.last or number in span.backgrounds
    }
    for traced in found.files:
        path = traced.change.path
        added = [
            line.number
            for hunk in traced.hunks or ()
            for line in hunk.lines
            if line.sign == "+" and line.step in mine
        ]
        for first, last in _ranges(added):
            lines = f"line {first}" if first == last else f"lines {first}\u2013{last}"
            yield f"{path_text(path)}, {lines}", part(path, first)
        if not added and traced.last in mine:
            yield path_text(path), part(path, None)


def _ranges(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Numbers that follow each other, as their first and last."""
    if not numbers:
        return
    ends = [at for at, (one, other) in enumerate(pairwise(numbers), start=1) if other != one + 1]
    for start, end in pairwise((0, *ends, len(numbers))):
        yield numbers[start], numbers[end - 1]
