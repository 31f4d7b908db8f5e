"""Who decides what is done: models, loop, run record, batch, review, command line, servers.

`from agent import run` is how a program does a run (`agent.api`). It is loaded when it is asked
for: whoever imports a module from here does not pay for everything that it needs.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.api import run

__all__ = ["VERSION", "run"]

VERSION = "0.1.0"
"""Of Moonpool, in the one place that says it: packages are built with it."""


def __getattr__(name: str) -> object:
    if name == "run":
        from agent.api import run  # noqa: PLC0415 - see above

        return run
    raise AttributeError(f"module 'agent' has no attribute {name!r}")
