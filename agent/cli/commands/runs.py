"""``moonpool runs``."""

import json
from itertools import islice

from rich.table import Table
from rich.text import Text

from agent.cli.arguments import Command, Given, flag, number
from agent.cli.setup import environment, exit_codes
from agent.record.runs import RecordedRun, UnreadableRun, all_runs
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
        if isinstance(run, UnreadableRun):
            table.add_row(run.id, Text("unreadable", "red"), "", Text(one_line(run.problem)), "")
            continue
        summary = run.summary
        table.add_row(
            run.id,
            Text(one_line(summary.outcome), "green" if run.is_finished else "yellow"),
            str(len(summary.changes)),
            Text(one_line(summary.task, _TASK_WIDTH)),
            Text(one_line(summary.workspace)),
        )
    if not count:
        print('no runs yet: start one with moonpool run "fix the failing tests"')
        return exit_codes.DONE
    console().print(table)
    return exit_codes.DONE


def document_of(run: RecordedRun | UnreadableRun) -> dict[str, object]:
    """The run's own summary; one that can't be read has no outcome, and says why.

    Printed as ASCII, so that nothing in a hostile text acts on a terminal it ends up on.
    """
    if isinstance(run, UnreadableRun):
        own: dict[str, object] = {"run_id": run.id, "outcome": None, "problem": run.problem}
    else:
        own = run.summary.json_object()
    return {**own, "directory": str(run.directory)}


COMMAND = Command(
    list_runs,
    (LIMIT, AS_JSON_LINES),
    """

    Example: moonpool runs -n 5
    """,
)
