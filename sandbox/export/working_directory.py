"""The directory in which a patch is made, and what happens where it can't be written."""

import contextlib
import errno
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sandbox.errors import PatchError

_LITTLE_SPACE_BYTES = 8 << 20


class NoSpace(PatchError):
    """The working files can't be written: another place may do."""


def _is_full(directory: Path, error: PatchError) -> bool:
    """Whether space was what was missing. git says so in words of its own: then the disk tells."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
        return True
    try:
        return shutil.disk_usage(directory).free < _LITTLE_SPACE_BYTES
    except OSError:
        return True


@contextlib.contextmanager
def working_directory(parent: Path | None = None) -> Iterator[Path]:
    """A new directory for the private store, in `parent` or else in the temporary directory.

    Raises:
        NoSpace: it can't be written, or what is done in it fails for want of space.
    """
    try:
        directory = Path(tempfile.mkdtemp(prefix="moonpool-export-", dir=parent))
        try:
            yield directory
        except PatchError as error:
            if not _is_full(directory, error):
                raise
            raise NoSpace(
                f"{error} (in {directory.parent}): free some space, or set TMPDIR"
            ) from error
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    except OSError as error:
        raise NoSpace(
            f"the patch's working files in {parent or tempfile.gettempdir()} can't be written "
            f"({error.strerror or error}): free some space, or set TMPDIR"
        ) from error
