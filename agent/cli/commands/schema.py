"""``moonpool schema``."""

from typing import Literal

from agent import exit_codes
from agent.cli.arguments import Command, Given, Parameter, choice
from agent.cli.saying import print_json
from agent.record.events import schema as event_schema
from agent.record.summary import RunSummary

WHICH: Parameter[Literal["events", "tasks"]] = choice(words=("events", "tasks"))


def schema(given: Given) -> int:
    """Print a schema; gives the exit code."""
    if given[WHICH] == "tasks":
        from agent.batch.tasks.form import json_schema

        print_json(json_schema())
    else:
        print_json(event_schema.schema(RunSummary))
    return exit_codes.DONE


COMMAND = Command(
    schema,
    (WHICH,),
    """

    Example: moonpool schema events > events.schema.json
    """,
)
