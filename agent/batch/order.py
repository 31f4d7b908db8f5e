"""One attempt as it is handed to a worker: all of it plain data, which crosses processes.

Owns what an attempt is made of, what a worker has beside that, and what it gives back. Refuses to
know how an attempt is made (`worker`), and which one comes next (`scheduler`).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent.batch.attempt import AttemptResult
from agent.batch.failure import Failure
from agent.batch.task import Task
from agent.config.instructions import Instructions
from agent.config.values import Configuration
from agent.conversation.run_share import RunShare
from agent.conversation.shared_budget import BatchBudget
from agent.interrupts import Interrupts
from agent.lifecycle.job import OpenBox
from agent.models.pricing import UNKNOWN, ModelInfo
from agent.models.rate_limit import RequestRate
from agent.record.journal import Show
from policies.frozen import dataclass
from policies.policy import Policy

if TYPE_CHECKING:
    from agent.observe.otlp import TelemetrySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptOrder:
    task: Task
    attempt: int
    """From 1."""
    run_id: str
    take_up: bool
    """The run was begun by a process that ended: it is gone on with, where that can be."""
    directory: Path
    """The batch's folder: runs are recorded below it."""
    policy: Policy
    """With the task's own image and budget, below the operator's ceilings."""
    model: str
    facts: ModelInfo
    configuration: Configuration
    instructions: Instructions
    kernel_policy: Literal["require", "prefer"]
    accepted_risks: frozenset[str]
    reviewer_facts: ModelInfo = UNKNOWN
    """Of the model that the policy's `review` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerServices:
    """What a worker has of its own process."""

    environ: Mapping[str, str]
    """For finding the engine, and the keys of models."""
    known_secrets: tuple[str, ...]
    """Values that must not get into a record."""
    open_box: OpenBox
    budget: BatchBudget | None
    """What all runs may use together; None: as much as may be."""
    rate: Callable[[str], RequestRate | None]
    """That of a model, by its name, which all runs share."""
    interrupts: Interrupts
    show: Show
    telemetry: "TelemetrySettings | None" = None
    """None: the operator configured none, and nothing is sent anywhere."""

    def share(self, model: str) -> RunShare:
        """What a run has in common with the others."""
        return RunShare(interrupts=self.interrupts, budget=self.budget, rate=self.rate(model))


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnd:
    """What came of one run of an attempt."""

    result: AttemptResult
    failure: Failure | None = None
    """None: nobody failed."""
    interrupted: bool = False
    """It was broken off, by whoever runs the batch."""
    begin_again: bool = False
    """The run could not be gone on with, and what it had done is exported: another one is due."""
