"""``moonpool policy schema``."""

import json

from agent import exit_codes
from agent.cli.arguments import Command, Given
from policies.file.schema import json_schema


def schema(_given: Given) -> int:
    """Print the schema; gives the exit code."""
    print(json.dumps(json_schema(), indent=2))
    return exit_codes.DONE


COMMAND = Command(
    schema,
    (),
    """

    Example: moonpool policy schema > policy.schema.json
    """,
)
