"""``moonpool acp``."""

import gc
import os
import sys
from importlib.util import find_spec

from agent.cli import options
from agent.cli.arguments import Command, Given, Parameter, path
from agent.config import environment
from agent.errors import extra_missing
from agent.lifecycle.open_sandbox import open_sandbox
from agent.preparation import workspace
from policies.file.scalars import duration_s

ROOT = path("--root", metavar="DIR", help="Sessions may be in this directory, or below, alone.")
ASK_TIMEOUT: Parameter[float] = Parameter(
    names=("--ask-timeout",),
    metavar="TIME",
    help="A question that has no answer for so long is a no.",
    default=300.0,
    convert=duration_s,
    notes="default: 5m",
)


def acp(given: Given) -> int:
    """Serve one editor; gives the exit code."""
    if find_spec("acp") is None:
        raise extra_missing("moonpool acp needs its packages", "acp")
    gc.disable()  # as for every command: of what imports make nothing is garbage
    from agent.cli import tidying
    from agent.past_runs.forked_run import open_as_recorded
    from agent.servers.acp.serving import serve
    from agent.servers.acp.settings import ServerSettings

    gc.freeze()
    gc.enable()
    if os.isatty(0):
        print(
            "moonpool: an editor starts this, and it waits for one; Ctrl-D ends it", file=sys.stderr
        )
    root = given[ROOT]
    code = serve(
        ServerSettings(
            options=options.of_run(given, given[options.MODEL]),
            verify=given[options.VERIFY],
            within=None if root is None else workspace.directory(root, "--root"),
            open_box=open_sandbox,
            open_recorded=open_as_recorded,
            ask_timeout_s=given[ASK_TIMEOUT],
        )
    )
    tidying.begin(environment.environ())
    return code


COMMAND = Command(
    acp,
    (
        *(options.POLICY, options.CEILING, options.MODEL, options.VERIFY, ROOT, ASK_TIMEOUT),
        *(*options.OF_RISK, options.INSTRUCTIONS, options.CONTEXT_FILES),
    ),
    """

    Each session is a run on a copy of the folder that the editor has open; what leaves it is the
    patch, applied by /apply when you say so. docs/editors.md has the lines for Zed, JetBrains,
    Neovim and Emacs.

    Example: moonpool acp -p python-tests
    """,
)
