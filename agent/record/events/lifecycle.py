"""How a run begins, is taken up, waits and ends; its container; what its operator should know."""

from collections.abc import Mapping
from typing import Literal

from agent.config.instructions import OperatorInstructions, Skill
from agent.models.interface import Usage
from agent.record.events.recorded import FORMAT, Lossy, RecordedModel
from agent.record.outcome import Conversation, Outcome
from policies.frozen import dataclass
from sandbox.container.seal import SealReport
from sandbox.opening.reattach import ContainerState
from sandbox.patch.values import LeftOut


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkedFrom:
    """Where a run began that did not begin with its task."""

    run_id: str
    call: int
    """The last call that had ended there; 0: none had."""


class RunStarted(RecordedModel):
    """The first line of a record: what is to be done, by whom, and under which policy."""

    event: Literal["run_started"] = "run_started"
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


class Forked(RecordedModel):
    """What stands before this in the record comes from another run; what follows is this one's."""

    event: Literal["forked"] = "forked"
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


class Resumed(RecordedModel):
    """Another process took the run up after the first one ended."""

    event: Literal["resumed"] = "resumed"
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


class SandboxReady(RecordedModel):
    """The container stands, and what was read back from it is as its policy wants it."""

    event: Literal["sandbox_ready"] = "sandbox_ready"
    container: str
    container_state: ContainerState
    """What a resume needs to know of the container."""
    seal: SealReport
    kernel_enforced: bool
    left_behind: tuple[LeftOut, ...]
    """Paths of the workspace that were not copied in."""
    seconds: float
    """Since the run began."""


class Notice(RecordedModel):
    """Something the operator should know."""

    event: Literal["notice"] = "notice"
    text: str


class RequestAwaited(RecordedModel):
    """A chat waits for its person. Until something is said again no time of the run passes."""

    event: Literal["request_awaited"] = "request_awaited"
    outcome: Conversation
    """How the request before ended."""


class ConversationEnded(RecordedModel):
    """The agent is done, one way or another; what follows is the export."""

    event: Literal["conversation_ended"] = "conversation_ended"
    outcome: Conversation


class RunEnded(RecordedModel):
    """The last line of a record, unless the run is taken up again."""

    event: Literal["run_ended"] = "run_ended"
    outcome: Outcome
    exit_code: int
    used: Usage
    """Sum over the run."""
    turns: int
    seconds: float
    """Time of work, without that in which a chat waited for its person."""
    container_left: str | None
    """Id of a container that still stands, because its patch could not be made."""
    usd: float | None
    """What `used` cost; None where the model's price is not known."""
    usd_source: str
    """Where the price comes from; empty where none is known."""
    usd_allowed: float | None
    """What the policy allows; None where it sets no limit."""
