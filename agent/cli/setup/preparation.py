"""What a run and a chat settle before they begin, from the same options in the same order.

Owns that order: whatever is wrong is said before a record is made and anything is spent.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from agent.cli.arguments import Given
from agent.cli.setup import environment, workspace
from agent.cli.setup import model as model_setup
from agent.cli.setup import policy as policy_setup
from agent.cli.setup.options import (
    ACCEPT_RISK,
    CEILING,
    CONTEXT_FILES,
    INSTRUCTIONS,
    KERNEL_POLICY,
    POLICY,
    PRICES,
    WORKSPACE,
)
from agent.config.instructions import Instructions
from agent.config.values import Configuration
from agent.job import Job
from agent.record.store import RunRecord, new_run_id
from agent.risk.kinds import accepted_risks
from policies.frozen import dataclass
from policies.policy import Policy
from sandbox.workspace.place import Workspace


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

    def job(
        self, given: Given, record: RunRecord, *, task: str, verify: str | None, may_ask: bool
    ) -> Job:
        return Job(
            run_id=record.run_id,
            task=task,
            workspace=self.root,
            policy=self.policy,
            verify=verify,
            instructions=self.instructions,
            may_ask=may_ask,
            kernel_policy=given[KERNEL_POLICY],
            accepted_risks=self.accepted,
            environ=environment.environ(),
        )


def prepare(
    given: Given, *, model: str | None, first: Callable[[Workspace], None] = lambda _: None
) -> Preparation:
    """Settle it.

    Args:
        model: as ``-m`` names it.
        first: done once the workspace is known, before a model is opened.

    Raises:
        UsageError, PolicyError, ModelAuth: something can't be used.
    """
    accepted = accepted_risks(given[ACCEPT_RISK])
    root = workspace.resolve(given[WORKSPACE])
    configuration = model_setup.load(root=root)
    named = model_setup.policy_name(given[POLICY], configuration)
    policy = policy_setup.permit(named, given[CEILING], root=root)
    home = environment.home()
    workspace.refuse_inside(home, root, "MOONPOOL_HOME")
    first(root)
    instructions = model_setup.brief(
        given[INSTRUCTIONS],
        configuration,
        context_files=given[CONTEXT_FILES],
        workspace=root,
    )
    return Preparation(
        root=root,
        policy=policy,
        home=home,
        configuration=configuration,
        instructions=instructions,
        ready=model_setup.ready(model, policy, configuration, prices=given[PRICES]),
        accepted=accepted,
    )
