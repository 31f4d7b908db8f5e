"""A run as its events tell it: `apply` is the one way from a state and an event to the next state.

The process that runs it, `moonpool resume`, `fork`, `replay`, `show`, the report and ``run.json``
all have what they know from here. Pure: the same events give the same state, live or from disk.
Where it is not known what the workspace in the container was, the state says why. Of what a record
holds nothing is believed: paths and modes are checked before anything is made of them
(`TrackedFiles.checked`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from functools import reduce

from agent.errors import RecordError
from agent.models.interface import Usage
from agent.record.conversation_state import (
    ConversationState,
    Recall,
    converse,
    nothing_kept,
)
from agent.record.events.conversation import (
    CallEnded,
    CallReserved,
    HistorySummarised,
    KernelRefusal,
    ModelReplied,
    ReplyDiscarded,
)
from agent.record.events.kinds import Recorded
from agent.record.events.lifecycle import (
    ChangesRescanned,
    ChangesTracked,
    ConversationEnded,
    Exported,
    ExportFailed,
    Forked,
    OpinionGiven,
    PatchApplied,
    RequestAwaited,
    Resumed,
    ReviewerReplied,
    RunEnded,
    RunStarted,
    SandboxReady,
    TrackedFile,
    VerificationEnded,
    WorkspaceRestored,
)
from agent.tools import registry
from agent.verification import Verification
from policies.frozen import dataclass
from sandbox.git.manifest import EXECUTABLE, FILE, SYMLINK, ManifestEntry
from sandbox.git.path_rules import carried
from sandbox.git.store import Store
from sandbox.patch.values import LeftOut

_MODES = frozenset({FILE, EXECUTABLE, SYMLINK})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedFiles:
    """The files of the workspace."""

    changed: Mapping[bytes, TrackedFile] = field(default_factory=dict)
    """Everything that is not, or was once not, as in the baseline."""
    last: int = 0
    """The newest call that a look covers; 0: none does."""
    _missed: frozenset[bytes] = frozenset()
    _waiting: int | None = None
    """The first call that may have changed something and that no look covers."""
    _unseen: str = ""
    """Why the newest look told nothing."""
    _lost: str = ""
    """Why nothing is known until everything is looked at anew."""

    @property
    def unknown(self) -> str:
        """Why the files are not known; empty where they are."""
        if self._lost:
            return self._lost
        if self._waiting is not None:
            return self._unseen or f"the workspace was not looked at after call {self._waiting}"
        if self._missed:
            path = min(self._missed).decode("utf-8", "backslashreplace")
            return f"the content of {path} was not kept: it is too large"
        return ""

    def checked(self) -> dict[bytes, TrackedFile]:
        """What is not as in the baseline.

        Raises:
            RecordError: a path or a mode is none that a run of ours writes.
        """
        for item in self.changed.values():
            gone = item.blob is None and item.mode == 0
            stands = item.blob is not None and item.mode in _MODES
            in_git = b".git" in item.path.split(b"/")[:-1]
            if not carried(item.path) or in_git or not (gone or stands):
                raise RecordError(
                    "the record has what no run writes, as the path or mode of a file: "
                    f"{item.path!r:.200}"
                )
        return dict(self.changed)

    def left_out(self) -> tuple[LeftOut, ...]:
        """What changed, and is known by its name only."""
        reason = "changed, and its content was not kept"
        return tuple(LeftOut(path=path, reason=reason) for path in sorted(self._missed))

    def after(self, event: Recorded) -> "TrackedFiles":
        """With what one more event says of them."""
        match event:
            case CallEnded() if event.tool in registry.WRITING and self._waiting is None:
                return replace(self, _waiting=event.number)
            case ChangesTracked():
                return self._followed(event)
            case ChangesRescanned() | WorkspaceRestored():
                lost = f"what stood there is not known: {event.unfollowed}"
                return TrackedFiles(
                    last=event.call if isinstance(event, WorkspaceRestored) else self.last,
                    changed={item.path: item for item in event.changed},
                    _missed=frozenset(event.missed),
                    _lost=lost if event.found_nothing else "",
                )
            case _:
                return self

    def _followed(self, event: ChangesTracked) -> "TrackedFiles":
        lost = "changes before it were too many to be recorded" if event.gap else self._lost
        if event.found_nothing:
            return replace(self, _unseen=event.unfollowed or "", _lost=lost)
        changed = {item.path: item for item in event.changed}
        return TrackedFiles(
            last=event.last,
            changed={**self.changed, **changed},
            _missed=(self._missed - changed.keys()) | frozenset(event.missed),
            _lost=lost,
        )


def entries_of(
    files: Mapping[bytes, TrackedFile], steps: Store
) -> dict[bytes, ManifestEntry | None]:
    """These files with the size of their content.

    Raises:
        PatchError: a content is not there.
    """
    return {
        path: None
        if item.blob is None
        else ManifestEntry(item.mode, item.blob, steps.size(item.blob))
        for path, item in files.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSpent:
    """What was used so far."""

    turns: int = 0
    used: Usage = field(default_factory=Usage)
    last: Usage = field(default_factory=Usage)
    """What the newest reply used."""
    usd: float | None = None
    """What `used` cost; None where the model's price is not known."""
    reserved: CallReserved | None = None
    """A call whose end was not told yet."""

    def settled(self) -> "BudgetSpent":
        """For a process that is gone: a call that it had under way cost the most that it could."""
        most = self.reserved
        return self if most is None else replace(self, used=most.used, usd=most.usd, reserved=None)


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
            return replace(spent, used=event.used, usd=event.usd, reserved=None)
        case CallReserved():
            return replace(spent, reserved=event)
        case Resumed():
            return spent.settled()
        case Forked() | RequestAwaited() | ConversationEnded() | RunEnded():
            return replace(spent, reserved=None)
        case _:
            return spent
