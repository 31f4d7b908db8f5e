"""``moonpool batch resume``."""

from agent.cli.arguments import Command, Given
from agent.cli.batch.options import DIRECTORY, WORKERS, opened, unowned
from agent.cli.setup import exit_codes


def resume(given: Given) -> int:
    """Ask that tasks are begun again; gives the exit code."""
    workers = given[WORKERS]
    with opened(given[DIRECTORY]) as store:
        store.resume()
        if workers is not None:
            store.employ(workers)
    print(f"goes on{f', {workers} at once' if workers is not None else ''}")
    unowned(given[DIRECTORY])
    return exit_codes.DONE


COMMAND = Command(
    resume,
    (DIRECTORY, WORKERS),
    """

    With -j N, so many tasks run at once from now on, while the batch goes on.

    Example: moonpool batch resume night -j 8
    """,
)
