"""What people decided about a run's patch: ``decisions.jsonl`` beside its record, one to a line.

Nothing that the run did is in it, and nothing of it changes what the run did.
"""

import fcntl
import json
import os
from pathlib import Path

from agent.errors import RecordError
from agent.record.events.recorded import RecordedModel, object_in

DECISIONS = "decisions.jsonl"
_LIMIT_BYTES = 16 << 20


class Decision(RecordedModel):
    """One thing that a person decided."""

    at: str
    """RFC 3339, to the second."""
    by: str
    """The name of the user who typed it."""
    place: str
    """Where the patch was put, or the id of the run that was begun from it."""
    patch_sha256: str | None = None
    """Of what was put there; None where that is no patch."""
    hunks: str = ""
    """Which part of the patch, as it was asked for; empty: all of it."""
    accepted_risks: tuple[str, ...] = ()
    reason: str = ""
    """Why these may pass, or why it was applied without a check that passes."""
    verified: bool | None = None
    """Whether what was put there passed the run's check before; None: there was none to run."""


def note(directory: Path, decision: Decision) -> None:
    """Add a decision to those of the run in this directory.

    Raises:
        RecordError: that can't be written.
    """
    path = directory / DECISIONS
    line = json.dumps(decision.json_object()).encode() + b"\n"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # What a process that was killed left without its end would spoil this line too.
            file.truncate(file.read().rfind(b"\n") + 1)
            file.seek(0, os.SEEK_END)
            file.write(line)
    except OSError as error:
        raise RecordError(f"{path} can't be written: {error.strerror}") from error


def decisions(directory: Path) -> tuple[Decision, ...]:
    """All of them, the oldest first. A last line that a killed process tore is left out.

    Raises:
        RecordError: they can't be read.
    """
    path = directory / DECISIONS
    try:
        with path.open("rb") as file:
            lines = file.read(_LIMIT_BYTES).split(b"\n")[:-1]
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise RecordError(f"{path} can't be read: {error.strerror}") from error
    found = []
    for number, line in enumerate(lines, 1):
        what = f"line {number} of {path}"
        found.append(Decision.read(object_in(line, what), what))
    return tuple(found)
