"""``moonpool mcp``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agent import exit_codes
from agent.cli import tidying
from agent.cli.arguments import Command, Given, converted, flag, number, text, texts
from agent.cli.options import CEILING, KERNEL_POLICY
from agent.config import environment
from agent.errors import UsageError, extra_missing
from agent.lifecycle.open_sandbox import open_sandbox
from agent.preparation import model as model_setup
from agent.preparation import workspace
from agent.preparation.policy import permit
from policies.file.scalars import duration_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.config.values import Configuration
    from agent.servers.mcp.settings import McpSettings

ROOTS = texts(
    "--root",
    metavar="DIR",
    help="Clients may open this folder and those in it, of this machine or, as image:PATH, of the "
    "policy's image; again: more.",
)
POLICIES = texts(
    "-p",
    "--policy",
    metavar="POLICY",
    help="A name or a file that clients may choose; again: more. The first counts where they "
    "choose none. Without: config.yaml's, or default.",
)
VERIFY = text(
    "--verify",
    metavar="CMD",
    help="Run this in a fresh container with the patch when a sandbox is closed.",
)
ALLOW_APPLY = flag(
    "--allow-apply", help="Clients may apply a patch to the folder that it was made from."
)
IDLE = converted(
    duration_s,
    "--idle",
    metavar="TIME",
    help="Close a sandbox that is asked nothing for so long (30m).",
)
SANDBOXES = number(
    "--sandboxes", metavar="N", help="So many may stand at once.", default=4, least=1
)


def mcp(given: Given) -> int:
    """Serve one client; gives the exit code."""
    try:
        from agent.servers.mcp.serving import serve_stdio
    except ModuleNotFoundError as error:
        raise extra_missing(f"the server needs {error.name}", "mcp") from error
    settings = _settings(given)
    if sys.stdin.isatty():
        print("moonpool: an MCP client starts this; Ctrl-D ends it", file=sys.stderr)
    ended_by = serve_stdio(settings)
    tidying.begin(environment.environ())
    return exit_codes.DONE if ended_by is None else exit_codes.INTERRUPTED


def _settings(given: Given) -> "McpSettings":
    from agent.servers.mcp.settings import IDLE_S, McpSettings

    if not given[ROOTS]:
        raise UsageError(
            "name the folders that clients may open, as in moonpool mcp --root ~/work: where this "
            "was started says nothing, for it may be a repository that nobody trusts"
        )
    configuration, idle_s = model_setup.load(root=None), given[IDLE]
    return McpSettings(
        roots=tuple(workspace.resolve(Path(root)) for root in given[ROOTS]),
        policies=_policies(given, configuration),
        ceiling=given[CEILING],
        may_apply=given[ALLOW_APPLY],
        verify=given[VERIFY],
        idle_s=IDLE_S if idle_s is None else idle_s,
        most=given[SANDBOXES],
        home=environment.home(),
        known_secrets=model_setup.known_secrets(configuration),
        telemetry=model_setup.telemetry(configuration),
        kernel_policy=given[KERNEL_POLICY],
        environ=environment.environ(),
        open_box=open_sandbox,
    )


def _policies(given: Given, configuration: "Configuration") -> "Mapping[str, str]":
    """By name, what each was named as; each can be used."""
    named = given[POLICIES] or (model_setup.policy_name(None, configuration),)
    found: dict[str, str] = {}
    for one in named:
        policy = permit(one, given[CEILING])
        model_setup.reviewer(policy, configuration, prices=None)
        name = policy.name
        if found.setdefault(name, one) != one:
            raise UsageError(f"{found[name]} and {one} are both called {name}: rename one")
    return found


COMMAND = Command(
    mcp,
    (ROOTS, POLICIES, CEILING, VERIFY, ALLOW_APPLY, IDLE, SANDBOXES, KERNEL_POLICY),
    """

    For the configuration of an MCP client, which starts it. What a client does is recorded as any
    run: `moonpool runs`, `review`, `show` and `apply` know of it.

    Example: moonpool mcp --root ~/work -p default
    """,
)
