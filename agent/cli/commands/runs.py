"""``moonpool runs``."""

import json
from itertools import islice

from rich.table import Table
from rich.text import Text

from agent.cli.arguments import Command, Given, flag, number
from agent.cli.setup import environment, exit_codes
from agent.record.runs import RecordedRun, all_runs
from agent.terminal.rich_screen import console
from agent.untrusted_text import one_line

_TASK_WIDTH = 60
LIMIT = number("-n", metavar="N", help="How many, the newest first.", default=20, least=1)
AS_JSON_LINES = flag("--json", help="A JSON object a line.")


def list_runs(given: Given) -> int:
    """Print a table, or a summary a line; the newest first."""
    found = islice(all_runs(environment.home()), given[LIMIT])
    if given[AS_JSON_LINES]:
        for run in found:
            print(json.dumps(document_of(run)))
        return exit_codes.DONE
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("RUN", "OUTCOME", "FILES", "TASK", "WORKSPACE"):
        table.add_column(name, overflow="fold", no_wrap=name == "RUN")
    count = 0
    for run in found:
        count += 1
        outcome = run.text("outcome") or "unreadable"
        table.add_row(
            run.id,
            Text(one_line(outcome), "green" if outcome == "finished" else "yellow"),
            str(len(run.rows("changes"))),
            Text(one_line(run.text("task"), _TASK_WIDTH)),
            Text(one_line(run.text("workspace"))),
        )
    if not count:
        print('no runs yet: start one with moonpool run "fix the failing tests"')
        return exit_codes.DONE
    console().print(table)
    return exit_codes.DONE


def document_of(run: RecordedRun) -> dict[str, object]:
    """The run's own summary; one that can't be read has no outcome.

    Printed as ASCII, so that nothing in a hostile text acts on a terminal it ends up on.
    """
    return {
        "run_id": run.id,
        "outcome": None,
        **run.summary,
        "directory": str(run.directory),
    }


COMMAND = Command(
    list_runs,
    (LIMIT, AS_JSON_LINES),
    """

    Example: moonpool runs -n 5
    """,
)
