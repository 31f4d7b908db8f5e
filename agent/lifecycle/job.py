"""What is to be done, as one value: the CLI makes it, `run` does it."""

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Literal

from agent.config.instructions import TARGET, Instructions
from agent.tools.sandbox_protocol import SandboxProtocol
from agent.verification import VerifierFiles
from policies.frozen import dataclass
from policies.policy import Policy
from sandbox.workspace.source import ImageFolder, Workspace

if TYPE_CHECKING:
    from sandbox.container.plan import BroughtFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    run_id: str
    task: str
    """Empty in a chat: it is its first request, once that is made."""
    workspace: Workspace
    """A directory: absolute, with no symlink in it. Or a folder of the policy's image."""
    policy: Policy
    verify: str | None
    """Shell text, run in a fresh container with baseline + patch."""
    verifier: VerifierFiles | None = None
    """What stands in that container beside, and decides; never in the agent's."""
    may_ask: bool
    """A person is there to approve what the policy asks about."""
    kernel_policy: Literal["require", "prefer"]
    instructions: Instructions = field(default_factory=Instructions)
    """What the operator gives the model beside the task."""
    accepted_risks: frozenset[str] = frozenset()
    """Ids of findings that the operator lets pass in this run, whatever the policy refuses."""
    environ: Mapping[str, str]
    """The operator's environment, for finding the engine. None of it enters the container."""

    @property
    def policy_inside(self) -> Policy:
        """The policy with the other name that an image's workspace has in the container."""
        if not isinstance(self.workspace, ImageFolder):
            return self.policy
        return replace(self.policy, paths=replace(self.policy.paths, alias=self.workspace.path))

    @property
    def brought(self) -> "BroughtFiles | None":
        """The operator's skills, for the container: to be read, not to be run by their paths."""
        if not self.instructions.skills.skills:
            return None
        from sandbox.container.plan import BroughtFiles  # noqa: PLC0415 - few runs bring some

        files = self.instructions.skills.by_path
        return BroughtFiles(files=files, target=TARGET, executable=False)


OnProgress = Callable[[str], None]
OpenBox = Callable[[Job, OnProgress], SandboxProtocol]
