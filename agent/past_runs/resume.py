"""Taking a run up whose process ended: what its record and its container still allow.

Owns the judgement: go on, only export, or neither, and why. The conversation itself is
`agent.conversation.resume_state`'s, the container `sandbox.opening.reattach`'s, what happens then
`agent.lifecycle.run`'s.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from agent.config.instructions import Instructions
from agent.conversation.resume_state import ResumeState, resume_state_of
from agent.errors import ModelError, RecordError, UsageError
from agent.lifecycle.job import Job
from agent.models.interface import Reply, Request, StreamEvent
from agent.record.events.lifecycle import RunStarted, SandboxReady
from agent.record.kept import kept_skills, recall
from agent.record.reader import reopen
from agent.record.store import EVENTS, IMAGES, RunRecord
from agent.record.summary import RunSummary, summary_of
from policies.errors import PolicyError
from policies.file.schema import as_yaml
from policies.frozen import dataclass
from policies.loading import loads
from policies.policy import Policy
from sandbox.opening.reattach import ReattachState
from sandbox.workspace.source import named


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRun:
    """A run that this process holds, with what its record says."""

    record: RunRecord
    past: ResumeState
    job: Job
    torn_bytes: int
    """Length of the record's last line, which its process did not finish."""
    exact_policy: bool
    """False where the recorded policy is not, to the letter, the one that the run had."""

    @property
    def remembered(self) -> ReattachState:
        """Its container.

        Raises:
            UsageError: there never was one.
        """
        ready = self.past.state.ready
        if ready is None:
            raise UsageError(
                f"run {self.job.run_id} ended before its container was ready: nothing was done in "
                "it, so start it again"
            )
        return remembered_of(ready)

    @property
    def obstacle(self) -> str:
        """Why the agent can't go on, by the record alone; empty where it can."""
        unknown = unknown_of(self.job.instructions, exact_policy=self.exact_policy)
        if unknown:
            return unknown
        if not self.past.lossy.exact_thinking:
            return "the model's thinking could not be recorded to the letter"
        return ""

    @property
    def summary(self) -> RunSummary:
        """``run.json`` from the record alone."""
        return summary_of(self.past.state, worked_s=self.past.worked_s)


def remembered_of(ready: SandboxReady) -> ReattachState:
    """A container, by what was told when it was ready."""
    return ReattachState(
        container_state=ready.container_state, left_out=ready.left_behind, seal=ready.seal
    )


class UnaskedModel:
    """Stands for the model of a run that is only exported: it has the name, and is not asked."""

    def __init__(self, name: str) -> None:
        self.name = name

    def reply(self, _request: Request, _on_event: Callable[[StreamEvent], None], /) -> Reply:
        raise ModelError(f"{self.name} is not asked any more: the run is only exported")


def take(
    home: Path,
    run_id: str,
    *,
    environ: Mapping[str, str],
    known_secrets: tuple[str, ...],
    may_ask: bool,
) -> HeldRun:
    """Take a run for this process alone.

    Raises:
        RecordHeld: another process works on it.
        RecordError: its record can't be used; the message says why.
    """
    record, read = reopen(home, run_id, known_secrets=known_secrets)
    try:
        images = record.directory / IMAGES
        past = resume_state_of(read.lines, partial(recall, images))
        started = past.started
        policy, exact = recorded_policy(started, file=str(record.directory / EVENTS))
        if started.run_id != run_id:
            raise RecordError(f"the record in {record.directory} is not that of run {run_id}")
        job = Job(
            run_id=run_id,
            task=started.task,
            workspace=named(started.workspace),
            policy=policy,
            verify=started.verify,
            may_ask=may_ask,
            kernel_policy=started.kernel_policy,
            environ=environ,
            accepted_risks=frozenset(started.accepted_risks),
            instructions=recorded_instructions(started, record.directory),
        )
    except BaseException:
        record.close()
        raise
    return HeldRun(
        record=record,
        past=past,
        job=job,
        torn_bytes=read.torn_bytes,
        exact_policy=exact,
    )


def unknown_of(instructions: Instructions, *, exact_policy: bool) -> str:
    """What of a run's orders is not known to the letter; empty where all of it is."""
    if not exact_policy:
        return "the policy could not be recorded to the letter (it holds a secret, or is huge)"
    if instructions.operator is not None and not instructions.operator.whole:
        return "the instructions could not be recorded to the letter (they hold a secret)"
    if not instructions.skills.whole:
        return "the skills that the run had do not lie beside its record any more"
    return ""


def recorded_instructions(started: RunStarted, directory: Path) -> Instructions:
    """What a run was given beside its task, by its record; skills may lack files of theirs."""
    skills = kept_skills(directory, started.skills)
    return Instructions(operator=started.instructions, skills=skills)


def recorded_policy(started: RunStarted, *, file: str) -> tuple[Policy, bool]:
    """The policy that a run had; False beside it where it is not that one to the letter.

    Raises:
        RecordError: what was recorded is no policy.
    """
    rules = as_yaml(started.policy_rules)
    try:
        policy = loads(rules, file=file)
    except PolicyError as error:
        raise RecordError(
            f"the recorded policy of run {started.run_id} is none: {error}"
        ) from error
    return policy, hashlib.sha256(rules.encode()).hexdigest() == started.rules_sha256
