"""The run that a person means, in the directory where they stand."""

from pathlib import Path

from agent.cli.arguments import Given, path
from agent.cli.options import RUN
from agent.config import environment
from agent.errors import UsageError
from agent.preparation import workspace
from agent.record.runs import LAST, RecordedRun, find_id, last_of, run_in
from agent.record.store import runs_directory

OF_WORKSPACE = path(
    "-w", "--workspace", metavar="DIR", help="With `last`: the newest run of this workspace."
)


def past_run(given: Given) -> RecordedRun:
    """What ``RUN`` names, with its summary.

    Raises:
        UsageError: none or several fit.
        RecordError: its summary can't be read.
    """
    return run_in(runs_directory(environment.home()) / run_id(given[RUN], given[OF_WORKSPACE]))


def run_id(wanted: str, directory: Path | None = None) -> str:
    """A run's full id. ``last`` is the newest one of the workspace in which the person stands, or
    where that has none the newest of all.

    Args:
        directory: the workspace whose ``last`` is meant, in place of that.

    Raises:
        UsageError: none or several fit.
    """
    home = environment.home()
    if directory is None:
        return find_id(home, wanted, around=_here())
    if wanted != LAST:
        raise UsageError(f"-w DIR says whose `{LAST}` is meant: with a run's id leave it out")
    place = workspace.directory(directory, "-w")
    found = last_of(home, place)
    if found is None:
        raise UsageError(f"there is no run of {place}: `moonpool runs` lists those there are")
    return found


def _here() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it is gone
        return None
