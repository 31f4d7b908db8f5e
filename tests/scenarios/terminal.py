"""A command on a terminal of its own, with somebody who types when asked."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence

from command_line.running import SCRIPT, Shell
from waiting import WAIT_S


def play(
    moonpool: Shell,
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    answers: Sequence[tuple[str, str]],
) -> tuple[int, str]:
    """Gives exit code and screen.

    Args:
        answers: what to wait for on the screen, behind the last such place, and what to type then.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [SCRIPT, *arguments],
        cwd=moonpool.directory,
        env={**moonpool.environ, **env, "TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    screen, at = "", 0
    waiting = list(answers)
    late = time.monotonic() + WAIT_S
    try:
        while (piece := _read(ours, late)) is not None:
            screen += piece
            while waiting and (found := screen.find(waiting[0][0], at)) >= 0:
                asked, typed = waiting.pop(0)
                at = found + len(asked)
                os.write(ours, f"{typed}\n".encode())
        code = process.wait(timeout=WAIT_S)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert not waiting, f"never asked: {waiting}\n{screen}"
    return code, screen.replace("\r\n", "\n")


def _read(handle: int, late: float) -> str | None:
    """What came; None: the terminal is no longer held by anyone."""
    ready, _, _ = select.select([handle], [], [], max(0.0, late - time.monotonic()))
    assert ready, "nothing more comes, and it does not end"
    try:
        return os.read(handle, 4096).decode("utf-8", "replace") or None
    except OSError:
        return None
