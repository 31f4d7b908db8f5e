"""``moonpool batch resume``."""

from agent import exit_codes
from agent.cli.arguments import Command, Given
from agent.cli.batch.options import DIRECTORY, WORKERS_NOW, opened, unowned


def resume(given: Given) -> int:
    """Ask that tasks are begun again; gives the exit code."""
    workers = given[WORKERS_NOW]
    with opened(given[DIRECTORY]) as store:
        store.resume()
        if workers is not None:
            store.employ(workers)
    print(f"goes on{f', {workers} at once' if workers is not None else ''}")
    unowned(given[DIRECTORY])
    return exit_codes.DONE


COMMAND = Command(
    resume,
    (DIRECTORY, WORKERS_NOW),
    """

    With -j N, so many tasks run at once until the process ends that works on it.

    Example: moonpool batch resume night -j 8
    """,
)
