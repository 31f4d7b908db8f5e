"""Keeping what Moonpool caches within its budget, after a run and out of its way."""

import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_EVERY_S = 600
_COMMAND = "from agent.cli import main; main()"


def begin(environ: Mapping[str, str]) -> None:
    """Start a process that removes what is beyond the budget, unless one did a short while ago.

    It says nothing and ends by itself; a run neither waits for it nor fails by it.
    """
    with suppress(OSError):
        if _is_due():
            subprocess.Popen(
                [sys.executable, "-P", "-c", _COMMAND, "prune", "--cache"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env=dict(environ),
            )


def _is_due() -> bool:
    """Whether nothing was begun for a while by this user, whatever the home: there is one engine.

    Raises:
        OSError: that can't be told; then nothing is.
    """
    path = Path(tempfile.gettempdir()) / f".moonpool-{os.getuid()}.tidied"
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    try:
        state = os.fstat(handle)
        if state.st_uid != os.getuid() or not stat.S_ISREG(state.st_mode):
            return False
        if state.st_size and time.time() - state.st_mtime < _EVERY_S:
            return False
        os.pwrite(handle, b"1", 0)
        os.utime(handle)
    finally:
        os.close(handle)
    return True
