"""``runs --json``, ``show --json`` and ``schema``: what was recorded, for a program.

JSON is ASCII here, so that nothing in a hostile text acts on a terminal it ends up on.
"""

import json
from itertools import islice
from typing import TYPE_CHECKING

from agent.cli.setup import environment, exit_codes

if TYPE_CHECKING:
    from agent.record.runs import RecordedRun


def list_runs(limit: int) -> int:
    """A summary a line, the newest first."""
    from agent.record.runs import all_runs

    for run in islice(all_runs(environment.home()), limit):
        print(json.dumps(_document(run)))
    return exit_codes.DONE


def show(wanted: str) -> int:
    from agent.record.runs import find

    print(json.dumps(_document(find(environment.home(), wanted)), indent=2))
    return exit_codes.DONE


def schema() -> int:
    from agent.record.events import schema as event_schema

    print(json.dumps(event_schema.schema(), indent=2))
    return exit_codes.DONE


def _document(run: "RecordedRun") -> dict[str, object]:
    """The run's own summary; one that can't be read has no outcome."""
    return {
        "run_id": run.id,
        "outcome": None,
        **run.summary,
        "directory": str(run.directory),
    }
