"""The words of what happens in a batch. Whatever came from a task or a run is made visible."""

from agent.batch.attempt import AttemptResult, ErrorKind
from agent.batch.watching.events import (
    AttemptBegun,
    AttemptDelayed,
    AttemptEnded,
    BatchEvent,
    BatchNotice,
    QueueSteered,
)
from agent.untrusted_text import one_line, visible

_DETAIL = 200


def named(task_id: str, attempt: int) -> str:
    return one_line(task_id if attempt == 1 else f"{task_id} #{attempt}", 80)


def how_many(count: int, kind: str) -> str:
    """So many that did not finish: by whose failure it was, or, where it was nobody's, how."""
    return f"{count} failed: {kind}" if kind in set(ErrorKind) else f"{count} {kind}"


def in_words(event: BatchEvent) -> str:
    """One line for a person; empty where he is told nothing of it."""
    match event:
        case AttemptBegun(taken_up=True):
            return f"{named(event.task_id, event.attempt)}: taken up as {event.run_id}"
        case AttemptDelayed(result=result):
            words = one_line(result.detail, _DETAIL)
            kind = result.error_kind
            return (
                f"{named(result.task_id, result.attempt)}: {kind}: {words}; again in "
                f"{event.wait_s:.0f} s"
            )
        case AttemptEnded(result=result) if not event.is_said_already:
            return f"{named(result.task_id, result.attempt)}: {_ended(result)}"
        case BatchNotice(text=text):
            return visible(text)
        case AttemptBegun() | AttemptEnded() | QueueSteered():
            return ""


def _ended(result: AttemptResult) -> str:
    words = [one_line(result.outcome, 60)]
    if result.verified is not None:
        checked = "verified" if result.verified else "not verified"
        words += [checked] if checked != result.outcome else []
    if result.worst_finding is not None:
        words.append(f"worst finding: {result.worst_finding}")
    if result.run_id is not None:
        words.append(f"{result.turns} turns")
        if result.usd is not None:
            words.append(f"${result.usd:.2f}")
        words.append(f"{result.seconds:.0f} s")
    text = ", ".join(words)
    if result.error_kind is not None or result.run_id is None:
        text += f": {one_line(result.detail, _DETAIL)}"
    return text
