"""A file replaced as a whole, for records and caches alike."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file so that a reader sees the old one or the new one, never a part.

    A link that stands at `path` is replaced, never followed: in a directory that the repository's
    author had a hand in it may point anywhere. Raises `OSError`.
    """
    write_pieces_atomically(path, (data,))


def write_pieces_atomically(path: Path, data: Iterable[bytes]) -> None:
    """As `write_atomically`, of what is written as it comes."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(data)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
