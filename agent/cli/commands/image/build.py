"""``moonpool image build``."""

from agent import exit_codes
from agent.cli.arguments import Command, Given, flag, rest
from agent.cli.options import AS_JSON
from agent.cli.saying import print_json, progress
from agent.config import environment
from images.build import ensure, rebuild
from sandbox.engine.docker import Engine

NAMES = rest("IMAGE")
REFRESH = flag("--refresh", help="Build again, on the base as it is today.")


def build(given: Given) -> int:
    """Build each; gives the exit code."""
    make = rebuild if given[REFRESH] else ensure
    engine = Engine.connect(environment.environ())
    built = []
    for name in given[NAMES]:
        reference = make(engine, name, on_progress=progress)
        built.append({"image": name, "reference": reference})
        if not given[AS_JSON]:
            print(f"{name} is ready: {reference}", flush=True)
    if given[AS_JSON]:
        print_json({"images": built})
    return exit_codes.DONE


COMMAND = Command(
    build,
    (NAMES, REFRESH, AS_JSON),
    """

    Example: moonpool image build python
    """,
)
