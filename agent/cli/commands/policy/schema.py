"""``moonpool policy schema``."""

from agent import exit_codes
from agent.cli.arguments import Command, Given
from agent.cli.saying import print_json
from policies.file.schema import json_schema


def schema(_given: Given) -> int:
    """Print the schema; gives the exit code."""
    print_json(json_schema())
    return exit_codes.DONE


COMMAND = Command(
    schema,
    (),
    """

    Example: moonpool policy schema > policy.schema.json
    """,
)
