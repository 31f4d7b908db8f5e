"""Where a run can be forked: the ends of its calls, as far as the workspace is known there.

A point where the conversation or the workspace is not known is none: it is said why, and which one
is the nearest that works. Pure, from the lines of a record.
"""

from collections.abc import Sequence
from dataclasses import replace

from agent.errors import UsageError
from agent.record.events.conversation import CallEnded, CallRefused, CallStarted, ModelCalled
from agent.record.events.kinds import Recorded, call_in_words
from agent.record.events.lifecycle import Forked, Resumed, WorkspaceRestored
from agent.record.reader import RecordLine
from agent.record.run_state import TrackedFiles, fold
from agent.tools import registry
from policies.frozen import dataclass

END = -1
"""Stands for a call's number: after everything that was said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkPoint:
    """The end of a call."""

    call: int
    """0: before the first one."""
    words: str
    """What it was; hostile text."""
    ending: str
    """How it ended, in a word or two."""
    lines: int
    """How many lines of the record the conversation has up to there."""
    looks: int
    """Lines up to the next call that may change a file: a look before that still shows these."""
    files: TrackedFiles
    """What the workspace was."""

    @property
    def why(self) -> str:
        """Why nothing can be forked there; empty where it can."""
        return self.files.unknown


def points(lines: Sequence[RecordLine]) -> list[ForkPoint]:
    """Every end of a call in a record, and what was before the first one."""
    files = TrackedFiles()
    waiting: list[ForkPoint] = []
    found: dict[int, ForkPoint] = {}
    words = ""

    def settle(looks: int) -> None:
        for point in waiting:
            # A call is told a second time by a process that took the turn up again: that counts.
            found[point.call] = replace(point, looks=looks, files=files)
        waiting.clear()

    for number, line in enumerate(lines):
        event = line.event
        if not found and not waiting and isinstance(event, ModelCalled):
            waiting.append(_point(0, "the task", "asked", number))
        if _may_change(event):
            settle(number)
        files = files.after(event)
        match event:
            case CallStarted():
                words = call_in_words(event.tool, event.arguments)
            case CallEnded():
                waiting.append(_point(event.number, words, event.in_a_word, number + 1))
            case CallRefused():
                words = call_in_words(event.tool, event.arguments)
                waiting.append(_point(event.number, words, event.why, number + 1))
            case _:
                pass
    settle(len(lines))
    return [found[call] for call in sorted(found)]


def at(lines: Sequence[RecordLine], call: int, run_id: str) -> ForkPoint:
    """The point after a call, or after all of it (`END`).

    Raises:
        UsageError: there is none, or nothing can be forked there; names the nearest that works.
    """
    known = points(lines)
    last = max((point.call for point in known), default=0)
    if call == END:
        files = fold(line.event for line in lines).files
        point = replace(_point(last, "the end", "", len(lines)), files=files)
    else:
        found = next((point for point in known if point.call == call), None)
        if found is None:
            raise UsageError(
                f"run {run_id} has no call {call}: its last is {last}; "
                f"`moonpool fork {run_id}` lists them"
            )
        point = found
    if point.why:
        working = [other.call for other in known if not other.why]
        nearest = min(working, key=lambda other: (abs(other - point.call), other), default=None)
        instead = "" if nearest is None else f"; the nearest that can be is --at {nearest}"
        raise UsageError(
            f"run {run_id} can't be forked after call {point.call}: {point.why}{instead}"
        )
    return point


def _may_change(event: Recorded) -> bool:
    """Whether the workspace may be another one after it."""
    match event:
        case CallStarted():
            return event.tool in registry.WRITING
        case Resumed() | Forked() | WorkspaceRestored():
            return True
        case _:
            return False


def _point(call: int, words: str, ending: str, lines: int) -> ForkPoint:
    return ForkPoint(
        call=call, words=words, ending=ending, lines=lines, looks=lines, files=TrackedFiles()
    )
