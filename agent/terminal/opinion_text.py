"""A second opinion on the terminal: the verdict, and what the reviewer would have mended."""

from collections.abc import Iterator

from agent.review.opinion.values import Concern, NoOpinion, OpinionVerdict, SecondOpinion, in_words
from agent.untrusted_text import one_line, path_text, shortened

_CONCERNS_SHOWN = 10
_REASON_WIDTH = 600
_CONCERN_WIDTH = 400
_STYLES = {
    OpinionVerdict.APPROVE: "green",
    OpinionVerdict.REJECT: "red",
    OpinionVerdict.UNSURE: "yellow",
}


def opinion_lines(opinion: SecondOpinion | None) -> Iterator[tuple[str, str]]:
    """Lines and styles; none where no opinion was asked for."""
    if opinion is None:
        return
    if isinstance(opinion, NoOpinion):
        yield in_words(opinion), "yellow"
        return
    reason = one_line(opinion.reason, _REASON_WIDTH)
    yield f"{in_words(opinion)}: {reason}", _STYLES[opinion.verdict]
    for concern in opinion.concerns[:_CONCERNS_SHOWN]:
        yield f"  {place_of(concern)}{one_line(concern.text, _CONCERN_WIDTH)}", "yellow"
    if len(opinion.concerns) > _CONCERNS_SHOWN:
        yield f"  and {len(opinion.concerns) - _CONCERNS_SHOWN} more, see the report", "dim"
    for missed in opinion.missed[:_CONCERNS_SHOWN]:
        yield f"  missed of the task: {one_line(missed, _CONCERN_WIDTH)}", "yellow"
    if opinion.unshown:
        yield f"  it had to look up {one_line(opinion.unshown, _CONCERN_WIDTH)}", "dim"


def place_of(concern: Concern) -> str:
    """Such as ``a.py:3: ``; empty for the patch as a whole."""
    if not concern.path:
        return ""
    line = f":{concern.line}" if concern.line is not None else ""
    return f"{shortened(path_text(concern.path))}{line}: "
