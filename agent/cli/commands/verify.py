"""``moonpool verify``: whether a record is what the run wrote."""

import json
from dataclasses import asdict

from agent import exit_codes
from agent.cli import past_run
from agent.cli.arguments import Command, Given
from agent.cli.options import AS_JSON, RUN
from agent.cli.past_run import OF_WORKSPACE
from agent.config import environment
from agent.past_runs import integrity
from agent.past_runs.integrity import CheckState
from agent.record.store import runs_directory
from agent.untrusted_text import one_line


def verify(given: Given) -> int:
    """Print what holds of a record, and what does not; gives the exit code."""
    as_json = given[AS_JSON]
    home = environment.home()
    run_id = past_run.run_id(given[RUN], given[OF_WORKSPACE])
    rows = []
    for check in integrity.checks(runs_directory(home) / run_id):
        rows.append(check)
        if not as_json:
            print(f"{check.state:<10} {check.name:<10} {one_line(check.detail, 400)}", flush=True)
    broken = [check.name for check in rows if check.state is CheckState.BROKEN]
    if as_json:
        print(
            json.dumps(
                {
                    "run_id": run_id,
                    "holds": not broken,
                    "checks": [asdict(row) for row in rows],
                }
            )
        )
    elif broken:
        print(f"run {one_line(run_id)} is NOT what was recorded: {', '.join(broken)}")
    else:
        print(f"run {one_line(run_id)} is what was recorded, as far as the record itself can tell")
    return exit_codes.NOT_FINISHED if broken else exit_codes.DONE


COMMAND = Command(
    verify,
    (RUN, OF_WORKSPACE, AS_JSON),
    """ Exit code 0: it is; 1: something is not.

    Checked are the chain of its events, its summary, its patch and what the patch makes of the old
    files. Nothing in the record is signed: who can write to it can make all of it anew. Against
    that, keep the digest of the last event elsewhere, and compare.

    Example: moonpool verify last
    """,
)
