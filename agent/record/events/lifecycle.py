"""How a run begins, is taken up, waits and ends; its container; what became of its workspace: looks
at it, the patch, its check, a second opinion on it; what its operator should know.

The events of a second opinion are kinds of their own, so that nothing of it is taken for the
agent's: it is no part of the conversation that a resumed run goes on with, and no call that is
replayed.
"""

from collections.abc import Mapping
from typing import Literal

from agent.config.instructions import OperatorInstructions, Skill
from agent.models.interface import Reply
from agent.record.events.conversation import SpendingEvent
from agent.record.events.recorded import FORMAT, Lossy, RecordedEvent
from agent.record.outcome import Conversation, Outcome
from agent.risk.finding import Finding
from agent.risk.opinion import SecondOpinion
from agent.verification import Verification
from policies.frozen import dataclass
from sandbox.container.opening import ContainerState
from sandbox.container.seal import SealReport
from sandbox.patch.values import Change, LeftOut


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkedFrom:
    """Where a run began that did not begin with its task."""

    run_id: str
    call: int
    """The last call that had ended there; 0: none had."""


class RunStarted(RecordedEvent):
    """The first line of a record: what is to be done, by whom, and under which policy."""

    format: int = FORMAT
    """Version of the record's form."""
    run_id: str
    began: str
    """RFC 3339, to the second."""
    task: str
    """Empty in a chat."""
    workspace: str
    policy: str
    """The policy's name."""
    policy_file: str
    model: str
    verify: str | None
    accepted_risks: tuple[str, ...] = ()
    """Ids of findings that the operator lets pass."""
    server_tools: tuple[str, ...] = ()
    """Tools that the model's service may run itself."""
    version: str
    """The version of Moonpool."""
    policy_rules: Mapping[str, object]
    """The composed policy: a resumed run has this one, whatever its file says by then."""
    rules_sha256: str
    """Digest (hex) of the rules, spelled as YAML, before anything in them was redacted or cut."""
    kernel_policy: Literal["require", "prefer"]
    pid: int
    instructions: OperatorInstructions | None = None
    """The operator's own, which stand in the system prompt."""
    skills: tuple[Skill, ...] = ()
    """The operator's, of which names and descriptions stand there; their files lie in ``skills/``
    beside the record."""
    forked_from: ForkedFrom | None = None


class Forked(RecordedEvent):
    """What stands before this in the record comes from another run; what follows is this one's."""

    run_id: str
    """The id of the other run."""
    call: int
    """The last call of the other run that had ended where it was forked."""
    model: str
    version: str
    """The version of Moonpool."""
    pid: int
    lossy: Lossy
    """What of the conversation could not be given back as it was."""


class Resumed(RecordedEvent):
    """Another process took the run up after the first one ended."""

    model: str
    version: str
    """The version of Moonpool."""
    pid: int
    cut_bytes: int
    """Length of a last line that was torn, and is gone from the record."""
    in_doubt: int | None
    """Number of the call that had been started and may have been done or not."""
    lossy: Lossy
    """What of the conversation could not be given back as it was."""


class SandboxReady(RecordedEvent):
    """The container stands, and what was read back from it is as its policy wants it."""

    container: str
    container_state: ContainerState
    """What a resume needs to know of the container."""
    seal: SealReport
    kernel_enforced: bool
    left_behind: tuple[LeftOut, ...]
    """Paths of the workspace that were not copied in."""
    seconds: float
    """Since the run began."""


class Notice(RecordedEvent):
    """Something the operator should know."""

    text: str


class RequestAwaited(RecordedEvent):
    """A chat waits for its person. Until something is said again no time of the run passes."""

    outcome: Conversation
    """How the request before ended."""


class ConversationEnded(RecordedEvent):
    """The agent is done, one way or another; what follows is the export."""

    outcome: Conversation


class RunEnded(SpendingEvent):
    """The last line of a record, unless the run is taken up again."""

    outcome: Outcome
    exit_code: int
    turns: int
    seconds: float
    """Time of work, without that in which a chat waited for its person."""
    container_left: str | None
    """Id of a container that still stands, because its patch could not be made."""
    usd_source: str
    """Where the price comes from; empty where none is known."""
    usd_allowed: float | None
    """What the policy allows; None where it sets no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedFile:
    """What a path is after a call; its content lies in the record's ``steps``."""

    path: bytes
    mode: int
    """git mode; 0 where the file is gone."""
    blob: str | None
    """Object id, hex; None where the file is gone."""


class WorkspaceLook(RecordedEvent):
    """What was found of the files of the workspace."""

    changed: tuple[TrackedFile, ...]
    """What is not as before the look, or as in the baseline where that says all."""
    missed: tuple[bytes, ...]
    """Paths of which the same holds, and whose content was not kept."""
    unfollowed: str | None
    """Why this is not all, or nothing; None where it is all."""

    @property
    def found_nothing(self) -> bool:
        """It tells nothing but why it does."""
        return self.unfollowed is not None and not self.changed and not self.missed


class ChangesTracked(WorkspaceLook):
    """What changed in the workspace while calls `first` to `last` were made, or since."""

    first: int
    last: int
    gap: bool = False
    """Changes from before are in no event: what is not named here may be otherwise too."""


class ChangesRescanned(WorkspaceLook):
    """Everything that is not as in the baseline, as a process found it that took the run up.

    What of it the calls followed so far did not do, nobody knows the writer of."""


class WorkspaceRestored(WorkspaceLook):
    """The workspace was put back to what it was when a call had ended, and looked at anew."""

    call: int
    """0: to what it was before the first one."""
    ended: int
    """Processes that ran, and were ended."""
    left: tuple[LeftOut, ...]
    """What has changed after that call and is as it was before going back."""
    differing: tuple[LeftOut, ...]
    """What should be as after that call, and is not."""


class PatchApplied(RecordedEvent):
    """The person had the patch so far applied to a directory, in the middle of a chat."""

    directory: str
    patch_sha256: str
    """Digest (hex) of the whole patch so far, which the directory has now."""
    changes: tuple[Change, ...]
    """What it changed there."""


class Exported(RecordedEvent):
    """The patch is made, proved and written."""

    path: str
    """Where the patch was written."""
    refused: bool
    """The export gate refuses it."""
    base_tree: str
    """Tree id (hex) of the baseline."""
    tree: str
    """Tree id (hex) of baseline + patch."""
    patch_sha256: str
    patch_bytes: int
    index_patch: str | None = None
    """Where the same change was written in what git stores, where that is something else."""
    index_patch_sha256: str | None = None
    git_note: str | None = None
    """What a person must know who applies the patch with git itself; None where nothing is."""
    changes: tuple[Change, ...]
    """The riskiest first."""
    left_out: tuple[LeftOut, ...]
    """What changed in the container and is not in the patch."""
    findings: tuple[Finding, ...]
    seconds: float
    """For making it."""


class ExportFailed(RecordedEvent):
    """No patch could be made."""

    message: str


class VerificationEnded(RecordedEvent):
    """What the operator's own check of the patch came to."""

    result: Verification


class ReviewStarted(RecordedEvent):
    """A reviewer is about to be asked; what one before it said in this run is void."""

    model: str
    patch_sha256: str
    shown_bytes: int
    """Of what it is asked with: task, patch, verification and findings."""
    unshown: str
    """What of the patch does not stand in it, in words; empty: all of it does."""


class ReviewerReplied(SpendingEvent):
    """A whole answer of the reviewer."""

    turn: int
    """Counts the reviewer's own, from 1."""
    reply: Reply
    seconds: float


class ReviewerCalled(RecordedEvent):
    """A look of the reviewer into the files, or a call that was refused."""

    number: int
    """Counts the reviewer's own, from 1."""
    tool: str
    arguments: Mapping[str, object]
    is_error: bool
    text: str
    """What the reviewer is told."""
    brief: str
    """One line for a person."""


class OpinionGiven(RecordedEvent):
    """What came of it."""

    opinion: SecondOpinion
    finding: Finding | None
    """What the export gate makes of it; None: it is approved."""
