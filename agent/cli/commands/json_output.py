"""``runs --json``, ``show --json`` and ``schema``: what was recorded, for a program.

JSON is ASCII here, so that nothing in a hostile text acts on a terminal it ends up on.
"""

import json
from itertools import islice
from typing import TYPE_CHECKING

from agent.cli.setup import environment as settings
from agent.cli.setup import exit_codes as exits

if TYPE_CHECKING:
    from agent.record.runs import Run


def list_runs(limit: int) -> int:
    """A summary a line, the newest first."""
    from agent.record.runs import all_runs

    for run in islice(all_runs(settings.home()), limit):
        print(json.dumps(_document(run)))
    return exits.DONE


def show(wanted: str) -> int:
    from agent.record.runs import find

    print(json.dumps(_document(find(settings.home(), wanted)), indent=2))
    return exits.DONE


def schema() -> int:
    from agent.record.events import schema as event_schema

    print(json.dumps(event_schema.schema(), indent=2))
    return exits.DONE


def _document(run: "Run") -> dict[str, object]:
    """The run's own summary; one that can't be read has no outcome."""
    return {
        "run_id": run.id,
        "outcome": None,
        **run.summary,
        "directory": str(run.directory),
    }
