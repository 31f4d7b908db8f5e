"""What a batch is made of beside its queue: its tasks, and what is settled for all of them.

Owns how a task narrows its policy, and the order that a worker gets. Refuses to know where policies
and models come from: the command line prepares them, once for all tasks that share them.
"""

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from agent.batch.order import AttemptOrder
from agent.batch.queue.states import QueuedAttempt
from agent.batch.task import Task, TaskBudget
from agent.config.instructions import Instructions
from agent.config.values import Configuration
from agent.models.pricing import UNKNOWN, ModelInfo
from policies.file.scalars import spelled_size
from policies.frozen import dataclass
from policies.policy import Policy


class Choices(NamedTuple):
    """What a task chooses of that others may choose as well."""

    policy: str | None
    image: str | None
    model: str | None


def choices_of(task: Task) -> Choices:
    return Choices(policy=task.policy, image=task.image, model=task.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedChoices:
    """What comes of them: found, read and opened once before anything starts."""

    policy: Policy
    model: str
    facts: ModelInfo
    reviewer_facts: ModelInfo = UNKNOWN
    """Of the model that the policy's `review` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    directory: Path
    """The batch's folder, absolute, without links."""
    tasks: Mapping[str, Task]
    """By id, in the order of the file."""
    prepared: Mapping[Choices, PreparedChoices]
    configuration: Configuration
    instructions: Instructions
    kernel_policy: Literal["require", "prefer"]
    accepted_risks: frozenset[str]
    fitted: dict[tuple[object, ...], Policy] = field(default_factory=dict)
    """Policies as tasks have them, once for all that are the same."""

    def choices(self, task_id: str) -> PreparedChoices:
        return self.prepared[choices_of(self.tasks[task_id])]

    def order(self, one: QueuedAttempt, *, take_up: bool) -> AttemptOrder:
        """The order for an attempt; one that waits has no run yet."""
        task, chosen = self.tasks[one.task_id], self.choices(one.task_id)
        return AttemptOrder(
            task=task,
            attempt=one.attempt,
            run_id=one.run_id or "",
            take_up=take_up,
            directory=self.directory,
            policy=self._policy(chosen.policy, task),
            model=chosen.model,
            facts=chosen.facts,
            reviewer_facts=chosen.reviewer_facts,
            configuration=self.configuration,
            instructions=self.instructions,
            kernel_policy=self.kernel_policy,
            accepted_risks=self.accepted_risks,
        )

    def _policy(self, policy: Policy, task: Task) -> Policy:
        """As `fitted`; the same value for all that are the same."""
        key = id(policy), task.budget, task.limits, *sorted(task.env.items())
        return self.fitted.setdefault(key, fitted(policy, task))


def fitted(policy: Policy, task: Task) -> Policy:
    """The policy as a task has it: with its budget, what it needs of the machine, and its
    variables, where the policy does not set them itself. Nothing of it is more than the policy's.
    """
    found = narrowed(policy, task.budget)
    wanted, allowed = task.limits, found.limits
    limits = replace(
        allowed,
        cpus=min(wanted.cpus or allowed.cpus, allowed.cpus),
        memory_bytes=min(wanted.memory_bytes or allowed.memory_bytes, allowed.memory_bytes),
        disk_bytes=min(wanted.disk_bytes or allowed.disk_bytes, allowed.disk_bytes),
    )
    return replace(found, limits=limits, env={**task.env, **found.env})


def lacking(policy: Policy, task: Task) -> list[str]:
    """What a task needs of the machine and its policy does not give, for a person."""
    limits = policy.limits
    rows: tuple[tuple[str, float | None, float, Callable[[Any], str]], ...] = (
        ("cpus", task.limits.cpus, limits.cpus, "{:g}".format),
        ("memory", task.limits.memory_bytes, limits.memory_bytes, spelled_size),
        ("disk", task.limits.disk_bytes, limits.disk_bytes, spelled_size),
    )
    return [
        f"needs limits.{name} of {spelled(wanted)}, and policy {policy.name} gives "
        f"{spelled(given)}: take a policy that gives it"
        for name, wanted, given, spelled in rows
        if wanted is not None and wanted > given
    ]


def narrowed(policy: Policy, budget: TaskBudget) -> Policy:
    """The policy with a task's budget, which widens nothing."""

    def least(allowed: int, asked: int | None) -> int:
        return allowed if asked is None else min(allowed, asked)

    allowed = policy.budget
    dollars = [usd for usd in (allowed.usd, budget.usd) if usd is not None]
    time_s = policy.limits.time_s
    return replace(
        policy,
        budget=replace(
            allowed,
            turns=least(allowed.turns, budget.turns),
            input_tokens=least(allowed.input_tokens, budget.input_tokens),
            output_tokens=least(allowed.output_tokens, budget.output_tokens),
            usd=min(dollars, default=None),
        ),
        limits=replace(
            policy.limits,
            time_s=time_s if budget.time_s is None else min(time_s, budget.time_s),
        ),
    )
