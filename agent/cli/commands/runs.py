"""``moonpool runs``."""

import json
from itertools import islice
from typing import assert_never

from rich.cells import cell_len

from agent.cli.arguments import Command, Given, flag, number
from agent.preparation import environment, exit_codes
from agent.record import outcome as outcomes
from agent.record.outcome import Finished
from agent.record.runs import RecordedRun, UnreadableRun, all_runs
from agent.terminal.screen import Line, open_screen
from agent.untrusted_text import one_line, shortened
from agent.verification import Failed, NotAsked, NotRun, Verification, Verified

FINISHED = outcomes.name_of(Finished)
_HEAD = ("RUN", "OUTCOME", "VERIFIED", "FILES", "TIME", "MODEL", "TASK", "WORKSPACE")
_MODEL_WIDTH = 30
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
    rows = [_row(run) for run in found]
    if not rows:
        print('no runs yet: start one with moonpool run "fix the failing tests"')
        return exit_codes.DONE
    screen = open_screen(environment.environ())
    widths = [max(cell_len(text) for text in column) for column in zip(_HEAD, *rows, strict=True)]
    for row in (_HEAD, *rows):
        line = Line()
        for name, text, width in zip(_HEAD, row, widths, strict=True):
            last = name == _HEAD[-1]
            line.append(
                text + " " * (0 if last else width - cell_len(text) + 2), _style(name, text)
            )
        # Cut, where a terminal is too narrow: what a person looks for stands in front.
        screen.print_cut(Line(line.plain, "dim") if row is _HEAD else line)
    return exit_codes.DONE


def _row(run: RecordedRun | UnreadableRun) -> tuple[str, ...]:
    if isinstance(run, UnreadableRun):
        return run.id, "unreadable", "", "", "", "", one_line(run.problem), ""
    summary = run.summary
    return (
        run.id,
        one_line(summary.outcome),
        _verified(summary.verification),
        str(len(summary.changes)),
        spelled_seconds(summary.seconds) if summary.exit_code is not None else "",
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


def _style(column: str, text: str) -> str:
    if column == "OUTCOME":
        return {FINISHED: "green", "unreadable": "red"}.get(text, "yellow")
    return "red" if column == "VERIFIED" and text == "no" else "default"


def spelled_seconds(seconds: float) -> str:
    """``8 s``, ``3 min 05 s``, ``2 h 10 min``."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


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
