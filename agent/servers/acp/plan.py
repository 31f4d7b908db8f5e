"""What a session is made of, as the command line settles it. Nothing of it is a client's to say.

The command line hands the server a `ServerSettings`: which policies there are, and what becomes of
a directory under one of them, ceilings, model and all.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent.config.instructions import Instructions
from agent.job import Job, OpenBox
from agent.models.interface import Model
from agent.models.pricing import ModelInfo
from agent.record.outcome import Outcome
from policies.frozen import dataclass
from policies.policy import Policy

if TYPE_CHECKING:
    from agent.observe.otlp import TelemetrySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyMode:
    """A policy that a session may be in."""

    name: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlan:
    """All of a session but what is said in it."""

    root: Path
    """The workspace: absolute, with no symlink in it."""
    policy: Policy
    """Under every ceiling that stands over it."""
    instructions: Instructions
    model: Model
    facts: ModelInfo
    telemetry: "TelemetrySettings | None"
    accepted_risks: frozenset[str]
    verify: str | None
    kernel_policy: Literal["require", "prefer"]
    notices: tuple[str, ...]
    """What the person should know before anything is done."""
    known_secrets: tuple[str, ...]
    environ: Mapping[str, str]

    def job(self, run_id: str) -> Job:
        """The run of a session, in which nothing is asked yet."""
        return Job(
            run_id=run_id,
            task="",
            workspace=self.root,
            policy=self.policy,
            verify=self.verify,
            instructions=self.instructions,
            may_ask=True,
            kernel_policy=self.kernel_policy,
            accepted_risks=self.accepted_risks,
            environ=self.environ,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What the operator settled for every session."""

    home: Path
    """Where runs are recorded."""
    mode: str
    """The policy that a session begins in."""
    modes: tuple[PolicyMode, ...]
    plan: Callable[[Path, str], SessionPlan]
    """A directory under a policy, by its name. Raises UsageError, PolicyError, ModelError."""
    open_box: OpenBox
    ask_timeout_s: float
    """How long a question waits for its person."""
    exit_code: Callable[[Outcome], int]
