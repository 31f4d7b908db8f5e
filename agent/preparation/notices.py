"""What a person should know of a run before anything is done."""

from agent.preparation import workspace
from policies.policy import Policy
from sandbox.workspace.source import Workspace


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
