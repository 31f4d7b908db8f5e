"""``moonpool image rm``."""

from agent import exit_codes
from agent.cli.arguments import Command, Given, rest
from agent.cli.options import AS_JSON
from agent.cli.saying import print_json
from agent.config import environment
from images.removal import remove
from sandbox.engine.docker import Engine

NAMES = rest("IMAGE")


def remove_images(given: Given) -> int:
    """Remove each; gives the exit code."""
    engine = Engine.connect(environment.environ())
    gone = []
    for name in given[NAMES]:
        removed = remove(engine, name)
        gone.append({"image": name, "removed": list(removed)})
        if not given[AS_JSON]:
            print(f"{name}: removed {', '.join(removed) or 'nothing: nothing was made of it'}")
    if given[AS_JSON]:
        print_json({"images": gone})
    return exit_codes.DONE


COMMAND = Command(
    remove_images,
    (NAMES, AS_JSON),
    """

    An image that Moonpool did not build stays, and what was prepared of it goes.

    Example: moonpool image rm polyglot
    """,
)
