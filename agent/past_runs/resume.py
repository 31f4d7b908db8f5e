"""Taking a run up whose process ended: what its record and its container still allow.

Owns the judgement: go on, only export, or neither, and why. The conversation itself is `past`'s,
the container `sandbox.container_state`'s, what happens then `run`'s.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from agent.config.instructions import Instructions
from agent.conversation.resume_state import ResumeState, resume_state_of
from agent.errors import ModelError, RecordError, UsageError
from agent.job import Job
from agent.models.interface import Reply, Request, StreamEvent
from agent.record import outcome as outcomes
from agent.record.events.encoding import plain
from agent.record.events.types import RunStarted, kernel_refusals
from agent.record.images import recall
from agent.record.outcome import CutShort
from agent.record.store import IMAGES, RunRecord
from agent.record.summary import opening
from agent.verification import NotAsked, NotRun
from policies.errors import PolicyError
from policies.file.rendering import spelled
from policies.loading import loads
from policies.policy import Policy
from sandbox.container.seal import SealReport
from sandbox.reattach import ReattachState

SUMMARY_NOT_WRITTEN = "the process that ran it ended before its summary was written"
"""Why the check of a patch is not told, in a summary made of the record alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRun:
    """A run that this process holds, with what its record says."""

    record: RunRecord
    past: ResumeState
    job: Job
    torn_bytes: int
    exact_policy: bool
    """False where the recorded policy is not, to the letter, the one that the run had."""

    @property
    def remembered(self) -> ReattachState:
        """Its container.

        Raises:
            UsageError: there never was one.
            RecordError: what was recorded of it makes no sense.
        """
        ready = self.past.ready
        if ready is None:
            raise UsageError(
                f"run {self.job.run_id} ended before its container was ready: nothing was done in "
                "it, so start it again"
            )
        return ReattachState(
            container_state=ready.container_state,
            left_out=ready.left_behind,
            seal=_seal(ready.seal),
        )

    @property
    def obstacle(self) -> str:
        """Why the agent can't go on, by the record alone; empty where it can."""
        if not self.exact_policy:
            return "the policy could not be recorded to the letter (it holds a secret, or is huge)"
        instructions = self.job.instructions.operator
        if instructions is not None and not instructions.whole:
            return "the instructions could not be recorded to the letter (they hold a secret)"
        if not self.past.lossy.exact_thinking:
            return "the model's thinking could not be recorded to the letter"
        return ""


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
        Held: another process works on it.
        RecordError: its record can't be used; the message says why.
    """
    record, rows, torn_bytes = RunRecord.reopen(home, run_id, known_secrets=known_secrets)
    try:
        images = record.directory / IMAGES
        past = resume_state_of(rows, lambda image: recall(images, image))
        started = past.started
        where = str(record.directory / "events.jsonl")
        policy, exact = recorded_policy(started, file=where)
        if started.run_id != run_id or started.kernel_policy not in {"require", "prefer"}:
            raise RecordError(f"the record in {record.directory} is not that of run {run_id}")
        job = Job(
            run_id=run_id,
            task=started.task,
            workspace=Path(started.workspace),
            policy=policy,
            verify=started.verify,
            may_ask=may_ask,
            kernel_policy=cast("Literal['require', 'prefer']", started.kernel_policy),
            environ=environ,
            accepted_risks=frozenset(started.accepted_risks),
            instructions=Instructions(operator=started.instructions),
            forked_from=started.forked_from,
        )
    except BaseException:
        record.close()
        raise
    return HeldRun(
        record=record,
        past=past,
        job=job,
        torn_bytes=torn_bytes,
        exact_policy=exact,
    )


def recorded_policy(started: RunStarted, *, file: str) -> tuple[Policy, bool]:
    """The policy that a run had; False beside it where it is not that one to the letter.

    Raises:
        RecordError: what was recorded is no policy.
    """
    rules = spelled(started.policy_rules)
    try:
        policy = loads(rules, file=file)
    except PolicyError as error:
        raise RecordError(
            f"the recorded policy of run {started.run_id} is none: {error}"
        ) from error
    return policy, hashlib.sha256(rules.encode()).hexdigest() == started.rules_sha256


def document(taken: HeldRun) -> dict[str, object]:
    """``run.json`` from the record alone: for a run that was over, and whose process ended before
    it wrote that down. Its keys are those of `Summary.document`."""
    past = taken.past
    exported: Mapping[str, object] = past.exported or {}
    over: Mapping[str, object] = past.over or {}
    ended = past.ended or CutShort(detail="the process that ran it ended")
    name = "export refused" if exported.get("refused") else outcomes.name(ended)
    ready = past.ready
    return {
        **opening(taken.job, past.started.model, past.began),
        "outcome": name,
        "detail": outcomes.detail(ended),
        "exit_code": over.get("exit_code"),
        "seconds": round(past.spent.seconds, 3),
        "turns": past.spent.turns,
        "tokens": plain(past.spent.used),
        "usd": None if past.spent.usd is None else round(past.spent.usd, 6),
        "usd_source": None,
        "patch": exported.get("path"),
        "patch_sha256": exported.get("patch_sha256"),
        "patch_bytes": exported.get("patch_bytes"),
        "base_tree": exported.get("base_tree"),
        "tree": exported.get("tree"),
        "changes": exported.get("changes", []),
        "findings": exported.get("findings", []),
        "left_out": exported.get("left_out", []),
        "left_behind": plain(ready.left_behind) if ready is not None else [],
        "kernel_refusals": plain(kernel_refusals(past.log)),
        "verification": _unverified(taken.job.verify),
        "kernel_enforced": ready.kernel_enforced if ready is not None else None,
        "seal": ready.seal if ready is not None else {},
        "container_left": over.get("container_left"),
    }


def _unverified(command: str | None) -> object:
    if command is None:
        return plain(NotAsked())
    return plain(NotRun(command=command, reason=SUMMARY_NOT_WRITTEN))


def _seal(recorded: Mapping[str, object]) -> SealReport:
    values = {
        key: tuple(value) if isinstance(value, list) else value for key, value in recorded.items()
    }
    try:
        return SealReport(**values)  # type: ignore[arg-type]
    except TypeError as error:
        raise RecordError(f"the recorded seal is not one of this version: {error}") from error
