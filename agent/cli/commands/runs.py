"""``moonpool runs``."""

import json
from itertools import islice
from typing import assert_never

from agent import exit_codes
from agent.cli.arguments import Command, Given, flag, number, path
from agent.config import environment
from agent.preparation import workspace
from agent.record import outcome as outcomes
from agent.record.outcome import Finished
from agent.record.runs import RecordedRun, UnreadableRun, all_runs
from agent.terminal.screen import open_screen
from agent.terminal.table import Column, print_table
from agent.untrusted_text import one_line, shortened
from agent.verification import Failed, NotAsked, NotRun, Verification, Verified
from policies.errors import duration

FINISHED = outcomes.name_of(Finished)
_STYLES = {FINISHED: "green", "unreadable": "red"}
_COLUMNS = (
    Column(head="RUN"),
    Column(head="OUTCOME", least=14, style=lambda text: _STYLES.get(text, "yellow")),
    Column(head="VERIFIED", drop=3, style=lambda text: "red" if text == "no" else "default"),
    Column(head="FILES", drop=4),
    Column(head="TIME", drop=2),
    Column(head="MODEL", least=12, drop=5),
    Column(head="TASK", least=20, drop=1),
    Column(head="WORKSPACE", least=12, drop=6, from_end=True),
)
_MODEL_WIDTH = 30
_TASK_WIDTH = 60
LIMIT = number("-n", metavar="N", help="How many, the newest first.", default=20, least=1)
OF_WORKSPACE = path("-w", "--workspace", metavar="DIR", help="Only those of this workspace.")
AS_JSON_LINES = flag("--json", help="A JSON object a line.")


def list_runs(given: Given) -> int:
    """Print a table, or a summary a line; the newest first."""
    runs = all_runs(environment.home())
    of = given[OF_WORKSPACE]
    if of is not None:
        place = str(workspace.directory(of, "-w"))
        runs = (it for it in runs if isinstance(it, RecordedRun) and it.summary.workspace == place)
    found = islice(runs, given[LIMIT])
    if given[AS_JSON_LINES]:
        for run in found:
            print(json.dumps(document_of(run)))
        return exit_codes.DONE
    rows = [_row(run) for run in found]
    if not rows:
        print('no runs yet: start one with moonpool run "fix the failing tests"')
        return exit_codes.DONE
    print_table(open_screen(environment.environ()), _COLUMNS, rows)
    return exit_codes.DONE


def _row(run: RecordedRun | UnreadableRun) -> tuple[str, ...]:
    if isinstance(run, UnreadableRun):
        return one_line(run.id), "unreadable", "", "", "", "", one_line(run.problem), ""
    summary = run.summary
    return (
        one_line(run.id),
        one_line(summary.outcome),
        _verified(summary.verification),
        str(len(summary.changes)),
        duration(summary.seconds) if summary.exit_code is not None else "",
        one_line(summary.model, _MODEL_WIDTH),
        one_line(summary.task, _TASK_WIDTH),
        shortened(one_line(summary.workspace)),
    )


def _verified(verification: Verification) -> str:
    match verification:
        case Verified():
            return "yes"
        case NotAsked():
            return "-"
        case Failed() | NotRun():
            return "no"
        case _:
            assert_never(verification)


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
    (LIMIT, OF_WORKSPACE, AS_JSON_LINES),
    """

    A terminal shows of each what has room in its width; a pipe gets all of it, a line each.

    Example: moonpool runs -n 5
    """,
)
