"""``moonpool batch pause``."""

from agent import exit_codes
from agent.cli.arguments import Command, Given
from agent.cli.batch.options import DIRECTORY, opened


def pause(given: Given) -> int:
    """Ask that no further task is begun; gives the exit code."""
    with opened(given[DIRECTORY]) as store:
        store.pause()
    print("paused: no further task is begun; those that run go on (`batch resume` ends it)")
    return exit_codes.DONE


COMMAND = Command(
    pause,
    (DIRECTORY,),
    """

    It holds for the next start too.

    Example: moonpool batch pause night
    """,
)
