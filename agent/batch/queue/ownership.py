"""One process works on a batch's folder: a lock on the folder itself, which ends with its process.

Owns the lock. Refuses to know what is in the folder.
"""

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import RecordError, UsageError
from agent.record.store import lock_holder
from policies.errors import CarryingError

_TRIES, _RETRY_S = 3, 0.01


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
        _lock(handle, directory)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, directory: Path) -> None:
    for tries_left in reversed(range(_TRIES)):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if not tries_left:
                raise BatchHeld(directory, lock_holder(handle)) from error
            time.sleep(_RETRY_S)  # `owner_of` may be looking at this moment
        except OSError as error:
            raise RecordError(f"{directory} can't be locked: {error.strerror}") from error
        else:
            return


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
