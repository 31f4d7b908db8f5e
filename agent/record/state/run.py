"""A run as its events tell it: `apply` is the one way from a state and an event to the next state.

The process that runs it, `moonpool resume`, `fork`, `replay`, `show`, the report and ``run.json``
all have what they know from here. Pure: the same events give the same state, live or from disk.
"""

from collections.abc import Iterable
from dataclasses import field, replace
from functools import reduce

from agent.models.interface import Usage
from agent.record.events.calls import CallEnded, KernelRefusal
from agent.record.events.conversation import HistorySummarised, ModelReplied, ReplyDiscarded
from agent.record.events.kinds import Recorded
from agent.record.events.lifecycle import Forked, Resumed, RunEnded, RunStarted, SandboxReady
from agent.record.events.review import OpinionGiven, ReviewerReplied
from agent.record.events.workspace import Exported, ExportFailed, PatchApplied, VerificationEnded
from agent.record.state.conversation import (
    ConversationState,
    Recall,
    converse,
    nothing_kept,
)
from agent.record.state.files import TrackedFiles
from agent.verification import Verification
from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSpent:
    """What was used so far."""

    turns: int = 0
    used: Usage = field(default_factory=Usage)
    last: Usage = field(default_factory=Usage)
    """What the newest reply used."""
    usd: float | None = None
    """What `used` cost; None where the model's price is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """What happened so far in one run."""

    started: RunStarted | None = None
    """None before the first event only."""
    model: str = ""
    """Name of the model, as a process gave it last."""
    pid: int = 0
    """Id of the process that worked on it last."""
    ready: SandboxReady | None = None
    """The newest container; None where none was ready."""
    conversation: ConversationState = field(default_factory=ConversationState)
    spent: BudgetSpent = field(default_factory=BudgetSpent)
    files: TrackedFiles = field(default_factory=TrackedFiles)
    kernel_refusals: tuple[KernelRefusal, ...] = ()
    """Every program that a call was refused by the kernel, in order."""
    applied: PatchApplied | None = None
    """What the person of a chat applied last."""
    exported: Exported | None = None
    """The newest patch; None where none could be made."""
    verification: Verification | None = None
    """What the check of that patch came to; None where none was told."""
    opinion: OpinionGiven | None = None
    """The second opinion on that patch; None where none was asked for, or it is still awaited."""
    over: RunEnded | None = None
    """How the run ended, where nothing came after."""


def apply(state: RunState, event: Recorded, recall: Recall = nothing_kept) -> RunState:
    """The state after one more event.

    Args:
        recall: gives an image that the model was shown, or None.
    """
    return replace(
        _lifecycle(state, event),
        conversation=converse(state.conversation, event, recall),
        spent=_spent(state.spent, event),
        files=state.files.after(event),
        over=event if isinstance(event, RunEnded) else None,
    )


def fold(events: Iterable[Recorded], recall: Recall = nothing_kept) -> RunState:
    """The state after all of these events."""
    return reduce(lambda state, event: apply(state, event, recall), events, RunState())


def _lifecycle(state: RunState, event: Recorded) -> RunState:  # noqa: PLR0911 - a line a kind
    match event:
        case RunStarted():
            return replace(state, started=event, model=event.model, pid=event.pid)
        case Resumed() | Forked():
            return replace(state, model=event.model, pid=event.pid)
        case SandboxReady():
            return replace(state, ready=event)
        case CallEnded() if event.refused:
            refused = (KernelRefusal(call=event.number, program=name) for name in event.refused)
            return replace(state, kernel_refusals=(*state.kernel_refusals, *refused))
        case PatchApplied():
            return replace(state, applied=event)
        case Exported():
            return replace(state, exported=event, verification=None, opinion=None)
        case ExportFailed():
            return replace(state, exported=None, verification=None, opinion=None)
        case VerificationEnded():
            return replace(state, verification=event.result)
        case OpinionGiven():
            return replace(state, opinion=event)
        case _:
            return state


def _spent(spent: BudgetSpent, event: Recorded) -> BudgetSpent:
    match event:
        case ModelReplied():
            return BudgetSpent(
                turns=event.turn, used=event.used, last=event.reply.usage, usd=event.usd
            )
        case ReplyDiscarded() | HistorySummarised() | ReviewerReplied():
            return replace(spent, used=event.used, usd=event.usd)
        case _:
            return spent
