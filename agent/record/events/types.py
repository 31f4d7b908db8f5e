"""What happens in a run, as values: the record, the display and ``--json`` all live off these.

`encode` turns one into the JSON object that stands in ``events.jsonl`` (its schema: `record`).
Live events are for the screen only and are not recorded; what they show is in a later event.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.config.instructions import OperatorInstructions
from agent.models.interface import Opaque, Reply, Usage
from agent.record.outcome import Conversation, Outcome
from agent.risk.finding import Finding
from agent.verification import Verification
from policies.decision import Decision
from sandbox.patch.values import Change, LeftOut
from sandbox.reattach import ContainerState
from sandbox.results import LimitMet


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptImage:
    """An image as the record names it."""

    media_type: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkedFrom:
    """Where a run began that did not begin with its task."""

    run_id: str
    call: int
    """The last that had ended; 0: none had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    run_id: str
    task: str
    workspace: str
    policy: str
    policy_file: str
    model: str
    verify: str | None
    accepted_risks: tuple[str, ...] = ()
    """Ids of findings that the operator lets pass."""
    version: str
    """Of Moonpool."""
    policy_rules: Mapping[str, object]
    """The composed policy: a resumed run has this one, whatever its file says by then."""
    rules_sha256: str
    """Of it, spelled as YAML, before anything in it was redacted or cut."""
    kernel_policy: str
    pid: int
    instructions: OperatorInstructions | None = None
    """The operator's own, which stand in the system prompt."""
    forked_from: ForkedFrom | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forked:
    """What stands before this in the record comes from another run; what follows is this one's."""

    run_id: str
    """Of the other."""
    call: int
    model: str
    version: str
    pid: int
    lossy: Mapping[str, object]
    """What of the conversation could not be given back as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """Another process took the run up after the first one ended."""

    model: str
    version: str
    pid: int
    cut_bytes: int
    """Of a last line that was torn, and is gone from the record."""
    in_doubt: int | None
    """Number of the call that had been started and may have been done or not."""
    lossy: Mapping[str, object]
    """What of the conversation could not be given back as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Live: what is being prepared."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxReady:
    container: str
    container_state: ContainerState
    """What a resume needs to know."""
    seal: Mapping[str, object]
    """Every field of the seal report."""
    kernel_enforced: bool
    left_behind: tuple[LeftOut, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCalled:
    """A request is about to be sent: a resumed run knows from it that an answer is missing."""

    turn: int
    system_sha256: str
    messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPiece:
    """Live: a piece of the model's text."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingPiece:
    """Live: a piece of the model's summary of its thinking."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDiscarded:
    """Live: the stream broke; the pieces since the last reply are void."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRetry:
    reason: str
    wait_s: float
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReplied:
    turn: int
    reply: Reply
    seconds: float
    used: Usage
    """Sum over the run so far."""
    usd: float | None
    """As `used`, in money; None where the model's price is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetUsed:
    """Live: what is used of the budget, and allowed of it, after a reply."""

    turns: int
    turns_allowed: int
    used: Usage
    input_allowed: int
    output_allowed: int
    usd: float | None
    usd_allowed: float | None
    left_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyDiscarded:
    """An answer broke off. What it used is billed all the same."""

    usage: Usage
    used: Usage
    """Sum over the run so far."""
    usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsShortened:
    """The results of one reply are too large together: what is sent of each is cut."""

    reply: int
    """Counts the replies in the history, from 1."""
    most_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsCleared:
    """Old results are not sent any more; the record and the history keep them."""

    through: int
    """Those of the replies up to this one."""
    bare: int
    """Replies up to this one are sent without what only their provider understands."""
    tokens_before: int
    """Of the next request, estimated; as the next."""
    tokens_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySummarised:
    """A summary is sent in place of the older turns; the record and the history keep them."""

    through: int
    """It stands for everything up to this reply and its results."""
    bare: int
    """As in `ResultsCleared`."""
    block: Opaque | None
    """The summary, where the provider itself made it; to be sent back as it is."""
    notes: str
    """The summary, where the provider did not."""
    orders: tuple[str, ...]
    """What the operator asked for; sent before the notes."""
    author: str
    """``service``, ``model`` or ``nobody`` (a list of the calls)."""
    usage: Usage
    """Of the request for it."""
    used: Usage
    """Sum over the run so far."""
    usd: float | None
    tokens_before: int
    tokens_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMessageAdded:
    """Words of ours to the model beside results: the task, a nudge, a warning."""

    text: str
    what: Literal["request", "undone", "note"] = "note"
    """What the operator asked for and took back is said again where a summary stands for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestWithdrawn:
    """A chat's newest request was declined: it, and what came of it, is not sent any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFile:
    """A file of the workspace that is written for agents."""

    name: str
    sha256: str
    """Of what was read of it."""
    size_bytes: int
    """Shown."""
    cut: bool
    """It is longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextShown:
    """Files of the workspace, put to the model before the task as a stranger's words."""

    files: tuple[ShownFile, ...]
    text: str
    """What the model is told, all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStarted:
    """A tool call that is about to run, with the decision that let it."""

    number: int
    """Counts over the run, from 1."""
    tool_use_id: str
    tool: str
    arguments: Mapping[str, object]
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRefused:
    """A tool call that did not run: unknown, malformed, denied, not approved, torn or too late."""

    number: int
    tool_use_id: str
    tool: str
    arguments: Mapping[str, object]
    why: str
    """``unknown tool``, ``malformed``, ``denied``, ``not approved``, ``torn`` or ``stopped``."""
    decision: Decision | None
    text: str
    """What the model is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAnswered:
    """A person was asked about a call."""

    number: int
    digest: str
    answer: str
    """``approved``, ``approved before`` (for the rest of a chat) or ``declined``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPiece:
    """Live: output of a running command."""

    stream: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded:
    number: int
    tool_use_id: str
    tool: str
    is_error: bool
    exit_code: int | None
    """None for a tool that is not a command."""
    ending: str | None
    seconds: float
    text: str
    """What the model is told."""
    brief: str
    """One line for a person."""
    refused: tuple[str, ...] = ()
    """Programs that the kernel refused under it, by path; hostile text."""
    limits: tuple[LimitMet, ...] = ()
    """Limits that its processes were held to, though it ended by itself."""
    images: tuple[KeptImage, ...] = ()
    """Shown to the model after the text; their bytes lie in the record's ``images``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesWithdrawn:
    """The service did not take the images of the newest results: they were taken out again."""

    text: str
    """What the model is told in their place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedFile:
    """What a path is after a call; its content lies in the record's ``steps``."""

    path: bytes
    mode: int
    """git mode; 0 where it is gone."""
    blob: str | None
    """None: gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesTracked:
    """What changed in the workspace while calls `first` to `last` were made, or since."""

    first: int
    last: int
    changed: tuple[TrackedFile, ...]
    missed: tuple[bytes, ...]
    """Paths that changed and whose content was not kept."""
    unfollowed: str | None
    """Why this is not all, or nothing; None where it is all."""
    gap: bool = False
    """Changes from before it are in no event: what is not named here may be otherwise too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesRescanned:
    """Everything that is not as in the baseline, as a process found it that took the run up.

    What of it the calls followed so far did not do, nobody knows the writer of."""

    changed: tuple[TrackedFile, ...]
    missed: tuple[bytes, ...]
    unfollowed: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceRestored:
    """The workspace was put back to what it was when a call had ended, and looked at anew."""

    call: int
    """0: to what it was before the first one."""
    changed: tuple[TrackedFile, ...]
    """Everything that is not as in the baseline since then."""
    missed: tuple[bytes, ...]
    unfollowed: str | None
    ended: int
    """Processes that ran, and were ended."""
    left: tuple[LeftOut, ...]
    """What has changed after that call and is as it was before going back."""
    differing: tuple[LeftOut, ...]
    """What should be as after that call, and is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something the operator should know."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAwaited:
    """A chat waits for its person. Until something is said again no time of the run passes."""

    outcome: Conversation
    """How the request before ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchApplied:
    """The person had the patch so far applied to a directory, in the middle of a chat."""

    directory: str
    patch_sha256: str
    """Of the whole patch so far, which the directory has now."""
    changes: tuple[Change, ...]
    """What it changed there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationEnded:
    """The agent is done, one way or another; what follows is the export."""

    outcome: Conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    path: str
    """Where the patch was written."""
    refused: bool
    base_tree: str
    tree: str
    patch_sha256: str
    patch_bytes: int
    changes: tuple[Change, ...]
    left_out: tuple[LeftOut, ...]
    findings: tuple[Finding, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFailed:
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationEnded:
    result: Verification


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    outcome: Outcome
    exit_code: int
    used: Usage
    turns: int
    seconds: float
    container_left: str | None
    """As in the summary."""
    usd: float | None


Live = Progress | TextPiece | ThinkingPiece | TextDiscarded | OutputPiece | BudgetUsed
Recorded = (
    RunStarted
    | Forked
    | Resumed
    | SandboxReady
    | ModelCalled
    | ModelRetry
    | ModelReplied
    | ReplyDiscarded
    | ResultsShortened
    | ResultsCleared
    | HistorySummarised
    | UserMessageAdded
    | ContextShown
    | CallStarted
    | CallRefused
    | ApprovalAnswered
    | CallEnded
    | ImagesWithdrawn
    | ChangesTracked
    | ChangesRescanned
    | WorkspaceRestored
    | Notice
    | RequestAwaited
    | RequestWithdrawn
    | PatchApplied
    | ConversationEnded
    | Exported
    | ExportFailed
    | VerificationEnded
    | RunEnded
)
Event = Live | Recorded

Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRefusal:
    """A program that the kernel refused."""

    call: int
    """Number of the tool call."""
    program: str
    """Absolute path in the container; hostile text."""


def kernel_refusals(log: Sequence[Event]) -> tuple[KernelRefusal, ...]:
    """Every program that a call of the run was refused by the kernel, in order."""
    return tuple(
        KernelRefusal(call=event.number, program=program)
        for event in log
        if isinstance(event, CallEnded)
        for program in event.refused
    )
