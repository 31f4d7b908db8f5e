"""What every run settles before it begins, from the same options in the same order.

Owns that order: whatever is wrong is said before a record is made and anything is spent. Owns too
what a person should know of a run before anything is done.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from agent.config.instructions import Instructions
from agent.config.values import Configuration
from agent.lifecycle.job import Job
from agent.preparation import environment, workspace
from agent.preparation import model as model_setup
from agent.preparation import policy as policy_setup
from agent.record.store import RunRecord, new_run_id
from agent.risk.finding import accepted_risks
from policies.frozen import dataclass
from policies.policy import Policy
from sandbox.workspace.source import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What an operator may say of a run beside its task, whoever asks: a command line, a server."""

    workspace: Path
    """A directory; ``image:PATH`` is a folder of the policy's image."""
    policy: str | None = None
    """A name or a file; None: the configuration's, or ``default``."""
    ceiling: str | None = None
    """A policy that nothing may exceed, beside the operator's standing one."""
    model: str | None = None
    """``anthropic:NAME`` and the like; None: the configuration's."""
    reviewer: str | None = None
    """A model that gives a second opinion on the patch; None: the policy's, if it has one."""
    instructions: Path | None = None
    context_files: bool | None = None
    """Whether the workspace's files for agents are shown; None: as the configuration says."""
    skills: Path | Literal["none"] | None = None
    """Their folder; None: the configuration's, or ``skills`` beside it."""
    prices: Path | None = None
    accept_risk: tuple[str, ...] = ()
    kernel_policy: Literal["require", "prefer"] = "require"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """All of a run but its task, and who watches it."""

    root: Workspace
    policy: Policy
    home: Path
    configuration: Configuration
    instructions: Instructions
    ready: model_setup.PreparedModel
    accepted: frozenset[str]
    kernel_policy: Literal["require", "prefer"]

    @contextmanager
    def recorded(self) -> Generator[RunRecord]:
        """Inside, the run's record is open."""
        record = RunRecord.create(
            self.home,
            run_id=new_run_id(),
            known_secrets=model_setup.known_secrets(self.configuration),
        )
        try:
            yield record
        finally:
            record.close()

    def job(self, run_id: str, *, task: str, verify: str | None, may_ask: bool) -> Job:
        return Job(
            run_id=run_id,
            task=task,
            workspace=self.root,
            policy=self.policy,
            verify=verify,
            instructions=self.instructions,
            may_ask=may_ask,
            kernel_policy=self.kernel_policy,
            accepted_risks=self.accepted,
            environ=environment.environ(),
        )


def prepare(
    options: RunOptions, *, first: Callable[[Workspace], None] = lambda _: None
) -> Preparation:
    """Settle it.

    Args:
        first: done once the workspace is known, before a model is opened.

    Raises:
        UsageError, PolicyError, ModelAuth: something can't be used.
    """
    accepted = accepted_risks(options.accept_risk)
    root = workspace.resolve(options.workspace)
    configuration = model_setup.load(root=root)
    named = model_setup.policy_name(options.policy, configuration)
    policy = policy_setup.permit(named, options.ceiling, root=root, reviewer=options.reviewer)
    home = environment.home()
    workspace.refuse_inside(home, root, "MOONPOOL_HOME")
    first(root)
    instructions = model_setup.brief(
        options.instructions,
        configuration,
        context_files=options.context_files,
        workspace=root,
        skills=options.skills,
    )
    return Preparation(
        root=root,
        policy=policy,
        home=home,
        configuration=configuration,
        instructions=instructions,
        ready=model_setup.ready(options.model, policy, configuration, prices=options.prices),
        accepted=accepted,
        kernel_policy=options.kernel_policy,
    )


def notices_of(root: Workspace, policy: Policy) -> list[str]:
    """What the workspace has in vain, and what a ceiling took from the policy."""
    notices = [
        f"{name} in the workspace is ignored: a policy is never read from there"
        for name in workspace.ignored_policies(root)
    ]
    narrowed = policy.narrowed
    return notices if narrowed is None else [*notices, narrowed]


def setup_hint(root: Workspace) -> list[str]:
    """For a run whose policy nobody chose: the repository asks for packages, and gets none."""
    manifest = workspace.needing_setup(root)
    if manifest is None:
        return []
    what = f"{manifest} names packages that this policy does not install"
    return [f"{what}: moonpool init proposes one that does"]
