"""The events of a run as rows for a person: what was said, called, refused and answered, in order.

Owns the words, made visible; the report and ``moonpool show`` lay them out. Refuses to know HTML
and the terminal.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from agent.models.interface import Opaque, Text
from agent.record import outcome as outcomes
from agent.record.events.conversation import (
    ApprovalAnswered,
    CallEnded,
    CallRefused,
    CallStarted,
    ContextShown,
    HistorySummarised,
    ImagesWithdrawn,
    ModelReplied,
    ModelRetry,
    RequestWithdrawn,
    ResultsCleared,
    ResultsShortened,
    TextFormChosen,
    UserMessageAdded,
)
from agent.record.events.kinds import (
    Event,
    call_in_words,
    decision_rule,
    form_in_words,
    shown_in_words,
    spending_in_words,
    taken_up_in_words,
)
from agent.record.events.lifecycle import (
    Notice,
    OpinionGiven,
    PatchApplied,
    RequestAwaited,
    Resumed,
    ReviewerCalled,
    WorkspaceRestored,
)
from agent.risk.opinion import in_words as opinion_words
from agent.untrusted_text import one_line, visible
from policies.frozen import dataclass

_SLOW_S = 0.1
"""What took less says nothing of its duration."""


class RowKind(StrEnum):
    ASKED = "asked"
    """A request of the operator's."""
    SAID = "said"
    """The model's words."""
    ANSWERED = "answered"
    """How a request of a chat ended, in a message; the model's words are there as `SAID` too."""
    OK = "ok"
    FAILED = "failed"
    DENIED = "denied"
    """A call that did not run."""
    DONE = "done"
    """What the person of a chat did with the work."""
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One entry. Its text is visible: nothing in it acts on what shows it."""

    kind: RowKind
    title: str
    number: int | None = None
    """A call's number; None for what is no call."""
    brief: str = ""
    """How a call ended, or why it did not run."""
    more: tuple[str, ...] = ()
    """What there is to say beside that: limits, refusals, duration, rule."""
    detail: str = ""
    """What the model was told, as it is: not yet visible, and of any length."""


def timeline(log: Iterable[Event]) -> Iterator[Row]:
    """The rows of these events."""
    started: dict[int, CallStarted] = {}
    for event in log:
        yield from rows_of(event, started)


def rows_of(  # noqa: C901, PLR0912 - a line a kind
    event: Event, started: dict[int, CallStarted]
) -> Iterator[Row]:
    """The rows of one event.

    Args:
        started: the calls so far, by number; one that starts is added.
    """
    match event:
        case ModelReplied():
            yield from _reply_rows(event)
        case CallStarted():
            started[event.number] = event
        case CallEnded():
            yield _call_row(event, started.get(event.number))
        case CallRefused():
            yield Row(
                kind=RowKind.DENIED,
                number=event.number,
                title=_call(event.tool, event.arguments),
                brief=event.why,
                detail=event.text,
            )
        case Resumed():
            yield _note(taken_up_in_words(event))
        case ApprovalAnswered():
            yield _note(f"a person was asked: {event.answer}")
        case ModelRetry():
            yield _note(one_line(f"the model was asked again: {event.reason}"))
        case ContextShown():
            yield Row(kind=RowKind.NOTE, title=shown_in_words(event), detail=event.text)
        case TextFormChosen():
            yield _note(form_in_words(event))
        case ImagesWithdrawn():
            yield _note("the service did not take the images: they were withdrawn")
        case UserMessageAdded() if event.what == "request":
            yield Row(kind=RowKind.ASKED, title=visible(event.text))
        case UserMessageAdded() | Notice():
            yield _note(visible(event.text))
        case RequestAwaited():
            message = getattr(event.outcome, "message", "")
            if message and message != outcomes.NOTHING_ASKED.message:
                yield Row(kind=RowKind.ANSWERED, title=visible(message))
        case RequestWithdrawn():
            yield _note("declined: the request is no part of the conversation now")
        case WorkspaceRestored():
            words = f"the files went back to what they were after call {event.call}"
            yield Row(kind=RowKind.DONE, title=words)
        case PatchApplied():
            where = f"{len(event.changes)} files were applied to {event.directory}"
            yield Row(kind=RowKind.DONE, title=visible(where))
        case ResultsCleared() | ResultsShortened() | HistorySummarised():
            yield _note(spending_in_words(event))
        case ReviewerCalled():
            looked = call_in_words(event.tool, event.arguments)
            title = one_line(f"the reviewer: {looked}: {event.brief}", 300)
            yield Row(kind=RowKind.NOTE, title=title, detail=event.text)
        case OpinionGiven():
            yield _note(opinion_words(event.opinion))
        case _:
            pass


def _reply_rows(event: ModelReplied) -> Iterator[Row]:
    for block in event.reply.message.blocks:
        if isinstance(block, Text) and block.text.strip():
            yield Row(kind=RowKind.SAID, title=visible(block.text.strip()))
        elif isinstance(block, Opaque) and block.server_side:
            yield _note(f"run by the model's service: {one_line(block.server_side, 300)}")


def _note(title: str) -> Row:
    return Row(kind=RowKind.NOTE, title=title)


def _call_row(event: CallEnded, begun: CallStarted | None) -> Row:
    refused = f"refused by the kernel: {', '.join(event.refused)}" if event.refused else ""
    more = (
        one_line(refused, 200),
        f"limits met: {', '.join(event.limits)}" if event.limits else "",
        f"{event.seconds:.2f} s" if event.seconds >= _SLOW_S else "",
        one_line(decision_rule(begun.decision), 100) if begun else "",
    )
    return Row(
        kind=RowKind.FAILED if event.failed else RowKind.OK,
        number=event.number,
        title=_call(event.tool, begun.arguments if begun else {}),
        brief=one_line(event.brief, 100),
        more=tuple(filter(None, more)),
        detail=event.text,
    )


def _call(tool: str, arguments: Mapping[str, object]) -> str:
    return one_line(call_in_words(tool, arguments), 300)
