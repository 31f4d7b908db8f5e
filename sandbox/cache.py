"""Where the sandbox room keeps what it may lose: caches that can be made again."""

import os
import tempfile
from pathlib import Path

import platformdirs

from sandbox.errors import SandboxError


def cache_directory() -> Path:
    """The user's cache directory for Moonpool (not created)."""
    return Path(platformdirs.user_cache_dir("moonpool"))


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file's content so that a reader sees the old one or the new one, never a part.

    Raises:
        SandboxError: the cache can't be written; says what to do.
    """
    try:
        _write_atomically(path, data)
    except OSError as error:
        raise SandboxError(
            f"the cache {path.parent} can't be written ({error.strerror}): free some space, or set "
            "XDG_CACHE_HOME to a directory of yours"
        ) from error


def _write_atomically(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
