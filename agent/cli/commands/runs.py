"""``moonpool runs``, ``show`` and ``apply``: what was recorded, and putting it to use."""

import sys
from typing import TYPE_CHECKING

from agent.cli.setup import environment, exit_codes

if TYPE_CHECKING:
    from rich.console import Console


_TASK_WIDTH = 60
_WORDS_WIDTH = 160


def list_runs(limit: int) -> int:
    from rich.table import Table
    from rich.text import Text

    from agent.record.runs import all_runs
    from agent.untrusted_text import one_line

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("RUN", "OUTCOME", "FILES", "TASK", "WORKSPACE"):
        table.add_column(name, overflow="fold", no_wrap=name == "RUN")
    count = 0
    for run in all_runs(environment.home()):
        count += 1
        if count > limit:
            break
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


def console() -> "Console":
    from rich.console import Console

    return Console(emoji=False, markup=False, highlight=False, file=sys.stdout)
