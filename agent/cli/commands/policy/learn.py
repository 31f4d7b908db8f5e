"""``moonpool policy learn``."""

import os
import sys
from pathlib import Path

from agent import exit_codes
from agent.cli import past_run
from agent.cli.arguments import Command, Given, argument, flag
from agent.config import environment
from agent.errors import UsageError
from agent.past_runs.policy_usage import policy_usage
from agent.record.reader import read_record
from agent.record.store import EVENTS, runs_directory
from agent.untrusted_text import one_line
from policies.operator.learn import learn as learned
from sandbox.workspace.source import named, on_host

RUN_OR_DIRECTORY = argument("RUN", "A run's id, its beginning, `last`, or its directory.")
INCLUDE_REFUSED = flag("--include-refused", help="Allow what the policy refused, too.")


def learn(given: Given) -> int:
    """Print the smallest policy under which a run would have passed."""
    directory = _directory(given[RUN_OR_DIRECTORY])
    run_id = directory.resolve().name
    events = [line.event for line in read_record(directory).require()]
    found = policy_usage(events, include_refused=given[INCLUDE_REFUSED])
    if not found.calls:
        raise UsageError(f"run {run_id} made no call: there is nothing to learn from")
    if not found.known:
        print(
            f"moonpool: the record of run {run_id} does not hold its policy: image, environment "
            "and limits are the built-in ones",
            file=sys.stderr,
        )
    workspace = on_host(named(found.workspace))
    lesson = learned(
        found.calls,
        base=found.policy,
        title=f"Learned from run {run_id}.",
        used=found.used,
        verify=found.verify,
        changed=found.changed,
        left_out=found.left_out,
        server_tools=found.server_tools,
        is_directory=lambda place: os.path.isdir(workspace / place),
    )
    print(lesson.text, end="")
    for reason in lesson.unmet:
        print(f"moonpool: not allowed by it: {one_line(reason, 200)}", file=sys.stderr)
    return exit_codes.NOT_FINISHED if lesson.unmet else exit_codes.DONE


def _directory(name: str) -> Path:
    """Of a run, by its id or by the directory itself."""
    directory = Path(name)
    if "/" in name and (directory / EVENTS).is_file():
        return directory
    return runs_directory(environment.home()) / past_run.run_id(name)


COMMAND = Command(
    learn,
    (RUN_OR_DIRECTORY, INCLUDE_REFUSED),
    """ A proposal: read it.

    Exit code 1 if some call of the run passes under no policy.

    Example: moonpool policy learn last > learned.yaml
    """,
)
