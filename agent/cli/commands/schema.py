"""``moonpool schema``."""

import json
from typing import Literal

from agent.cli.arguments import Command, Given, Parameter, choice
from agent.cli.setup import exit_codes
from agent.record.events import schema as event_schema
from agent.record.summary import RunSummary

EVENTS: Parameter[Literal["events"]] = choice(words=("events",))


def schema(_given: Given) -> int:
    """Print the schema; gives the exit code."""
    print(json.dumps(event_schema.schema(RunSummary), indent=2))
    return exit_codes.DONE


COMMAND = Command(
    schema,
    (EVENTS,),
    """

    Example: moonpool schema events > events.schema.json
    """,
)
