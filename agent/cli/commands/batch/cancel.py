"""``moonpool batch cancel``."""

from agent import exit_codes
from agent.cli.arguments import Command, Given
from agent.cli.batch.options import DIRECTORY, TASK_ID, opened


def cancel(given: Given) -> int:
    """End a task, or all of them; gives the exit code."""
    with opened(given[DIRECTORY]) as store:
        waiting, running = store.cancel(given[TASK_ID])
    if not waiting and not running:
        print("nothing to cancel: what is over stays as it is")
        return exit_codes.DONE
    print(f"cancelled: {waiting} that waited, {running} that run and export now")
    return exit_codes.DONE


COMMAND = Command(
    cancel,
    (DIRECTORY, TASK_ID),
    """

    What runs exports what it has done. `batch retry` begins a cancelled task again.

    Example: moonpool batch cancel night task-7
    """,
)
