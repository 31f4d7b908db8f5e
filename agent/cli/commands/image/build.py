"""``moonpool image build``."""

from agent.cli.arguments import Command, Given, flag, rest
from agent.preparation import environment, exit_codes
from images.build import ensure, rebuild
from sandbox.engine.docker import Engine

NAMES = rest("IMAGE")
REFRESH = flag("--refresh", help="Build again, on the base as it is today.")


def build(given: Given) -> int:
    """Build each; gives the exit code."""
    make = rebuild if given[REFRESH] else ensure
    engine = Engine.connect(environment.environ())
    for name in given[NAMES]:
        reference = make(engine, name, environ=environment.environ(), on_progress=print)
        print(f"{name} is ready: {reference}")
    return exit_codes.DONE


COMMAND = Command(
    build,
    (NAMES, REFRESH),
    """

    Example: moonpool image build python
    """,
)
