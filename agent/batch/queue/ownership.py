"""One process works on a batch's folder: a lock on the folder itself, which ends with its process.

Owns the lock. Refuses to know what is in the folder.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import RecordError, UsageError
from agent.record.store import lock, lock_holder
from policies.errors import CarryingError


class BatchHeld(CarryingError, UsageError):
    """Another process works on the batch."""

    def __init__(self, directory: Path, pid: int) -> None:
        self.pid = pid
        """0 where that is not known."""
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{who} works on {directory}: `moonpool batch status {directory}` shows how far it is; "
            "`batch pause`, `batch cancel` and the like steer it from here"
        )


@contextmanager
def owned(directory: Path) -> Generator[None]:
    """Inside, no other process works on the folder, which is made where there is none.

    Raises:
        BatchHeld: one does.
        UsageError: it is no folder of this user's.
        RecordError: it can't be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"-o {directory} is not a directory: name one") from error
    except OSError as error:
        raise RecordError(f"{directory} can't be made: {error.strerror}") from error
    try:
        try:
            if not lock(handle):
                raise BatchHeld(directory, lock_holder(handle))
        except OSError as error:
            raise RecordError(f"{directory} can't be locked: {error.strerror}") from error
        yield
    finally:
        os.close(handle)


def owner_of(directory: Path) -> int | None:
    """The process that works on the folder; 0: one that is not known; None: there is none."""
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return lock_holder(handle)
    finally:
        os.close(handle)
    return None
