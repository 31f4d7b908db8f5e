"""``moonpool setup``: what a policy installs, made ahead of a run or looked into."""

from agent.cli.arguments import Command, Given, flag
from agent.cli.setup import environment, exit_codes, workspace
from agent.cli.setup import model as model_setup
from agent.cli.setup import policy as policy_setup
from agent.cli.setup.options import CEILING, POLICY, WORKSPACE
from agent.errors import UsageError
from images.build import ensure
from images.setup.layer import find_or_make
from sandbox.engine.docker import Engine

REFRESH = flag("--refresh", help="Run the commands again, whatever stands already.")


def setup(given: Given) -> int:
    """Make the layer; gives the exit code."""
    root = workspace.resolve(given[WORKSPACE])
    named = model_setup.policy_name(given[POLICY], model_setup.load(root=root))
    policy = policy_setup.permit(named, given[CEILING], root=root)
    if not policy.setup.makes_layer:
        raise UsageError(
            f"the policy {policy.name} has no setup.commands: add them, or have one proposed by "
            "`moonpool init`"
        )
    environ = environment.environ()
    engine = Engine.connect(environ)
    layer = find_or_make(
        engine,
        ensure(engine, policy.image, environ=environ, on_progress=print),
        policy,
        root,
        environ=environ,
        refresh=given[REFRESH],
        on_progress=print,
    )
    print(layer.image)
    return exit_codes.DONE


COMMAND = Command(
    setup,
    (WORKSPACE, POLICY, CEILING, REFRESH),
    """

    Example: moonpool setup -w path/to/repo -p policy.yaml
    """,
)
