"""What a run came to: ``run.json``, the last line of ``--json``, and what the report is made of.

`RunSummary` is the one place where the keys of ``run.json`` are spelled. It follows from the run's
events alone: for the process that ran it, for one that finds the run over without its summary, and
for whoever checks a summary against its events.
"""

from pathlib import Path
from typing import Any

from agent.models.interface import Usage
from agent.record import outcome as outcomes
from agent.record.events.conversation import KernelRefusal
from agent.record.events.lifecycle import ForkedFrom, OpinionGiven
from agent.record.events.recorded import FORMAT, RecordedModel
from agent.record.outcome import CutShort, ExportRefused, Outcome
from agent.record.run_state import RunState
from agent.risk.finding import Finding, ordered, risk_by_path
from agent.risk.opinion import NoOpinion, SecondOpinion, finding_of
from agent.verification import Failed, NotAsked, NotRun, Verification, Verified
from policies.frozen import dataclass
from sandbox.container.seal import SealReport
from sandbox.patch.values import Change, LeftOut, Patch

RUNNING = "running"
"""The outcome as long as no process has written how the run ended."""
_DETAIL_CHARACTERS = 500
_ENDED = CutShort(detail="the process that ran it ended")
_NOT_TOLD = "the process that ran it ended before it was checked"
_NOT_SAID = "the process that ran it ended before there was one"


class RunSummary(RecordedModel):
    """What the run came to: run.json. It is there however the agent ended."""

    format: int = FORMAT
    run_id: str
    outcome: str
    """The word that `outcome.name` gives, or ``running``."""
    task: str
    workspace: str
    policy: str
    """The policy's name."""
    policy_file: str
    model: str
    server_tools: tuple[str, ...]
    verify: str | None
    accepted_risks: tuple[str, ...]
    forked_from: ForkedFrom | None
    started: str
    """RFC 3339, to the second."""
    detail: str = ""
    """What there is to say of the outcome; may have several lines."""
    cause: str = ""
    """The name of the class of the error that ended it, where one did."""
    exit_code: int | None = None
    """None where no process has written how the run ended."""
    seconds: float = 0.0
    turns: int = 0
    tokens: Usage = Usage()
    usd: float | None = None
    """What `tokens` cost; None where the model's price is not known."""
    usd_source: str | None = None
    """Where the price comes from."""
    usd_allowed: float | None = None
    """What the policy allows; None where it sets no limit."""
    patch: str | None = None
    """Where the patch was written; None where none could be made."""
    patch_sha256: str | None = None
    patch_bytes: int | None = None
    index_patch: str | None = None
    """Where the same change was written in what git stores, where that is something else."""
    index_patch_sha256: str | None = None
    git_note: str | None = None
    """What a person must know who applies the patch with git itself; None where nothing is."""
    base_tree: str | None = None
    """Tree id (hex) of the baseline."""
    tree: str | None = None
    """Tree id (hex) of baseline + patch."""
    changes: tuple[Change, ...] = ()
    """The riskiest first."""
    findings: tuple[Finding, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    """What changed in the container and is not in the patch."""
    left_behind: tuple[LeftOut, ...] = ()
    """Paths of the workspace that were not copied in, and what was and does not work there."""
    kernel_refusals: tuple[KernelRefusal, ...] = ()
    verification: Verification = NotAsked()
    opinion: SecondOpinion | None = None
    """None where none was asked for, or nothing was changed."""
    kernel_enforced: bool | None = None
    """None where no container came to be."""
    seal: SealReport | None = None
    """None where no container came to be."""
    container_left: str | None = None
    """Id of a container that still stands, because its patch could not be made."""

    @property
    def gate_findings(self) -> tuple[Finding, ...] | None:
        """None where there was no patch for the gate to look at."""
        return None if self.patch is None else self.findings

    @property
    def verified(self) -> bool | None:
        """Whether the operator's check passed; None where none was, or could be, run."""
        match self.verification:
            case Verified():
                return True
            case Failed():
                return False
            case _:
                return None

    @property
    def worst_finding(self) -> str | None:
        """The severity of the gate's worst finding, in lower case; None where it found nothing."""
        worst = max((finding.severity for finding in self.findings), default=None)
        return None if worst is None else worst.name.lower()

    @property
    def detail_line(self) -> str:
        """The first line of `detail`, for a table."""
        return self.detail.partition("\n")[0][:_DETAIL_CHARACTERS]


_OF_START = (
    *("run_id", "workspace", "policy", "policy_file", "server_tools", "verify"),
    *("accepted_risks", "forked_from"),
)
_OF_PATCH = (
    *("patch_sha256", "patch_bytes", "index_patch", "index_patch_sha256", "git_note"),
    *("base_tree", "tree", "changes", "findings", "left_out"),
)
_OF_SANDBOX = ("left_behind", "kernel_enforced", "seal")
_OF_END = ("exit_code", "turns", "usd_allowed", "container_left")


def running_summary(state: RunState) -> RunSummary:
    """The summary of a run that has just begun, which stands as long as it runs."""
    started = state.started
    if started is None:
        raise AssertionError("a run begins with run_started")
    values: dict[str, Any] = {name: getattr(started, name) for name in _OF_START}
    task, began = started.task or "chat", started.began
    return RunSummary(**values, outcome=RUNNING, model=state.model, task=task, started=began)


def summary_of(state: RunState, *, worked_s: float = 0.0) -> RunSummary:
    """The summary of a run that is over, whether its last process came to say so or not.

    Args:
        worked_s: how long it worked, where that process did not say it.
    """
    over, exported, spent = state.over, state.exported, state.spent.settled()
    running = running_summary(state)
    outcome = over.outcome if over is not None else _outcome(state)
    usd = over.usd if over is not None else spent.usd
    chat = f"chat: {state.conversation.first_request or '(nothing was asked)'}"
    values: dict[str, object] = {
        "outcome": outcomes.name(outcome),
        "detail": outcomes.detail(outcome),
        "cause": outcomes.cause(outcome),
        "task": running.task if state.started and state.started.task else chat,
        "turns": spent.turns,
        "tokens": over.used if over is not None else spent.used,
        "seconds": round(over.seconds if over is not None else worked_s, 3),
        "usd": None if usd is None else round(usd, 6),
        "usd_source": (over.usd_source or None) if over is not None else None,
        "patch": exported.path if exported is not None else None,
        "kernel_refusals": state.kernel_refusals,
        "verification": _verification(state, running.verify),
    }
    for event, names in ((exported, _OF_PATCH), (state.ready, _OF_SANDBOX), (over, _OF_END)):
        if event is not None:
            values |= {name: getattr(event, name) for name in names}
    said = _opinion(state)
    if said is not None and exported is not None:
        values["opinion"] = said.opinion
        if said.finding is not None:
            values["findings"] = ordered((*exported.findings, said.finding))
    return running.replaced(values)


def _outcome(state: RunState) -> Outcome:
    ended = state.conversation.ended or _ENDED
    if state.exported is not None and state.exported.refused:
        return ExportRefused(findings=state.exported.findings, before=ended)
    return ended


def _opinion(state: RunState) -> OpinionGiven | None:
    """The second opinion; where its process ended without one, that there is none."""
    if state.opinion is not None or state.exported is None or not state.exported.changes:
        return state.opinion
    match state.started and state.started.policy_rules.get("review"):
        case {"model": str(model), **rest}:
            none = NoOpinion(model=model, reason=_NOT_SAID)
            accepted = frozenset(state.started.accepted_risks) if state.started else frozenset()
            required = rest.get("require") is not None
            finding = finding_of(none, required=required, accepted=accepted)
            return OpinionGiven(opinion=none, finding=finding)
        case _:
            return None


def _verification(state: RunState, command: str | None) -> Verification:
    if state.verification is not None:
        return state.verification
    if command is None or state.exported is None:
        return NotAsked()
    return NotRun(command=command, reason=_NOT_TOLD)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredPatch:
    """The patch, once it is made and proved."""

    patch: Patch
    path: Path
    """Where it was written."""
    sha256: str
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> bool:
        return any(finding.refuses for finding in self.findings)

    def changes(self) -> list[Change]:
        """The riskiest first: by the gate's findings, then by how much changed."""
        weight = risk_by_path(self.findings)

        def risk(change: Change) -> tuple[object, ...]:
            worst = tuple(-number for number in weight.get(change.path, (0, 0, 0)))
            binary = change.added_lines is None
            lines = (change.added_lines or 0) + (change.deleted_lines or 0)
            return (*worst, -int(binary), -lines, change.path)

        return sorted(self.patch.changes, key=risk)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A run that is over, for the process that ran it."""

    outcome: Outcome
    document: RunSummary
    delivery: DeliveredPatch | None
    """None where no patch could be made."""

    @property
    def exit_code(self) -> int:
        return self.document.exit_code or 0
