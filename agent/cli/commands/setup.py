"""``moonpool setup``: what a policy installs, made ahead of a run or looked into."""

import json
from contextlib import suppress
from dataclasses import asdict

from agent import exit_codes
from agent.cli.arguments import Command, Given, flag
from agent.cli.commands.image.shell import look_into, require_terminal
from agent.cli.options import AS_JSON, CEILING, POLICY, WORKSPACE
from agent.cli.saying import progress
from agent.cli.signals import SignalGuard
from agent.config import environment
from agent.errors import UsageError
from agent.preparation import model as model_setup
from agent.preparation import policy as policy_setup
from agent.preparation import workspace
from images.build import ensure
from images.recipes import RUNTIME
from images.setup import failed
from images.setup.layer import find_or_make, reference
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.errors import EngineError
from sandbox.workspace.source import Workspace

REFRESH = flag("--refresh", help="Run the commands again, whatever stands already.")
SHELL = flag("--shell", help="Look into the layer, or into what a set-up that failed has left.")


def setup(given: Given) -> int:
    """Make the layer, or open a shell in what stands; gives the exit code."""
    if given[SHELL]:
        require_terminal("setup --shell")
    root = workspace.resolve(given[WORKSPACE])
    named = model_setup.policy_name(given[POLICY], model_setup.load(root=root))
    policy = policy_setup.permit(named, given[CEILING], root=root)
    if not policy.setup.makes_layer:
        raise UsageError(
            f"the policy {policy.name} has no setup.commands: add them, or have one proposed by "
            "`moonpool init`"
        )
    engine = Engine.connect(environment.environ())
    base = ensure(engine, policy.image, on_progress=progress)
    if given[SHELL]:
        _look(engine, base, policy, root)
        return exit_codes.DONE
    with SignalGuard().installed():
        layer = find_or_make(
            engine,
            base,
            policy,
            root,
            refresh=given[REFRESH],
            on_progress=progress,
        )
    print(json.dumps(asdict(layer)) if given[AS_JSON] else layer.image)
    return exit_codes.DONE


def _look(engine: Engine, base: str, policy: Policy, root: Workspace) -> None:
    ref = reference(engine, base, policy, root)
    if engine.image(ref) is not None:
        look_into(engine, ref, f"the set-up of {policy.name}")
        return
    with failed.as_image(engine, ref) as draft:
        if draft is None:
            raise UsageError("there is nothing to look into: run `moonpool setup` first")
        ensure(engine, RUNTIME, on_progress=progress)
        prepared = look_into(engine, draft, f"what the failed set-up of {policy.name} left")
        # It was not searched for secrets, so none of it stays.
        with suppress(EngineError):
            engine.remove_image(f"moonpool/prepared:{prepared.key}")


COMMAND = Command(
    setup,
    (WORKSPACE, POLICY, CEILING, REFRESH, SHELL, AS_JSON),
    """

    Example: moonpool setup -w path/to/repo -p policy.yaml
    """,
)
