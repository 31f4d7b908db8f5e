"""``moonpool review``: a run, a batch or all runs in a browser."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from agent import exit_codes
from agent.cli import past_run
from agent.cli.arguments import Command, Given, flag, number, optional_argument
from agent.config import environment
from agent.errors import UsageError, extra_missing
from agent.lifecycle.job import Job, OnProgress
from agent.record.store import runs_directory
from agent.tools.sandbox_protocol import SandboxProtocol

if TYPE_CHECKING:
    from agent.review.decide.applying import Operator
    from sandbox.opening.reattach import ReattachState

WHAT = optional_argument(
    "RUN|DIR", "A run by its id or its beginning, or a batch's folder; else all runs."
)
NO_OPEN = flag("--no-open", help="Only print the address.")
PORT = number("--port", metavar="N", help="0: any that is free.", default=0, least=0)


def review(given: Given) -> int:
    """Serve the pages until Ctrl-C; gives the exit code."""
    home, first = _place(given[WHAT])
    try:
        from agent.review.server.running import serve
    except ModuleNotFoundError as error:
        raise extra_missing(f"the pages need {error.name}", "review") from error
    serve(home, _operator(), first=first, port=given[PORT], opens=not given[NO_OPEN], say=_say)
    return exit_codes.DONE


def _operator() -> "Operator":
    """Who sits at the browser: whoever began the server."""
    from agent.preparation.policy import bounded
    from agent.review.decide.applying import Operator

    def open_recorded(
        job: Job, remembered: "ReattachState", base_tree: str, on_progress: OnProgress
    ) -> SandboxProtocol:
        from agent.lifecycle import open_sandbox  # the engine's SDK: for whoever applies something

        return open_sandbox.open_recorded(job, remembered, base_tree, on_progress)

    return Operator(
        name=environment.user(),
        environ=environment.environ(),
        bounded=bounded,
        open_recorded=open_recorded,
    )


def _say(line: str) -> None:
    print(line, flush=True)


def _place(wanted: str | None) -> tuple[Path, str]:
    """Where the runs are, and what is shown first."""
    home = environment.home()
    if wanted is None:
        past_run.run_id("last")  # there are some
        return home, "runs"
    if os.sep in wanted or os.path.isdir(runs_directory(Path(wanted))):
        home = Path(wanted).absolute()
        if not os.path.isdir(runs_directory(home)):
            raise UsageError(f"{home} is no batch's folder: there are no runs in it")
        return home, "runs"
    return home, f"run/{past_run.run_id(wanted)}"


COMMAND = Command(
    review,
    (WHAT, PORT, NO_OPEN),
    """

    The address lets one browser in, once. Nothing leaves this machine.

    Example: moonpool review last
    """,
)
