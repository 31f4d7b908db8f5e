"""``moonpool batch retry``."""

from agent import exit_codes
from agent.cli.arguments import Command, Given
from agent.cli.batch.options import DIRECTORY, TASK_ID, opened, unowned


def retry(given: Given) -> int:
    """Let what did not come to its end begin again; gives the exit code."""
    with opened(given[DIRECTORY]) as store:
        count = store.retry(given[TASK_ID])
    if not count:
        print("nothing to begin again: what the agent failed is begun again by its ID alone")
    else:
        print(f"to be begun again: {count} attempt{'s' if count > 1 else ''}")
        unowned(given[DIRECTORY])
    return exit_codes.DONE


COMMAND = Command(
    retry,
    (DIRECTORY, TASK_ID),
    """

    Without ID: what was set aside, cancelled or stopped. With it also what the agent failed. Runs
    that there were are kept.

    Example: moonpool batch retry night
    """,
)
