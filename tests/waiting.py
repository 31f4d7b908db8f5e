"""How a test waits for what another thread, process or container does: never without an end."""

import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

WAIT_S = 100
"""Past this nobody does what the test waits for, on the slowest of machines."""


def until(holds: Callable[[], T | None], *, process: "subprocess.Popen[Any] | None" = None) -> T:
    """Look again and again; gives the first thing it gives that is true.

    Args:
        process: the one that is to do it, which goes on until then.
    """
    late = time.monotonic() + WAIT_S
    while True:
        over = process is not None and process.poll() is not None  # asked first: it may do it last
        if found := holds():
            return found
        assert not over, "the process ended before it"
        assert time.monotonic() < late, "it did not come"
        time.sleep(0.005)
