"""Files of the operator's that a container has before its first command.

They stand beside image and workspace, at a path of their own, as root's: commands read and run
them, and write none. What the image has at that path is gone, so nothing of it takes part. Owns
their tar.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from sandbox.cache import regular_file
from sandbox.container.plan import BroughtFiles
from sandbox.engine import tar
from sandbox.errors import WorkspaceError

_BYTES_LIMIT = 1 << 30
_COUNT_LIMIT = 50_000
_PIECE_BYTES = 1 << 20
_AGENT = 1000


def archive(files: BroughtFiles) -> Iterator[bytes]:
    """All of it as a plain tar, relative to the root.

    Raises:
        WorkspaceError: the folder can't be read, is too large, or holds what is no file.
    """
    try:
        yield from _place(files.target, owner=0)
        yield from _contents(files)
        if files.writable is not None:
            yield from _place(files.writable, owner=_AGENT)
        yield tar.END
    except OSError as error:
        raise WorkspaceError(f"the files of {files.files} can't be read: {error}") from error


def _contents(brought: BroughtFiles) -> Iterator[bytes]:
    if isinstance(brought.files, Path):
        return _of_folder(brought.files, brought.target)
    return _of_memory(brought.files, brought.target)


def _of_memory(files: Mapping[str, bytes], target: str) -> Iterator[bytes]:
    top = PurePosixPath(target.removeprefix("/"))
    places = {above for path in files for above in (top / path).parents if top in above.parents}
    for place in sorted(places):
        yield tar.directory(str(place))
    for path, data in sorted(files.items()):
        yield tar.file(str(top / path), data)


def _of_folder(folder: Path, target: str) -> Iterator[bytes]:
    total = count = 0
    top = os.fsencode(folder)
    for at, folders, files in os.walk(top, onerror=_raise):
        folders.sort()
        inside = os.path.normpath(os.path.join(target.encode()[1:], os.path.relpath(at, top)))
        for name in folders:
            if os.path.islink(os.path.join(at, name)):
                raise WorkspaceError(f"{os.fsdecode(os.path.join(at, name))} is a link")
            yield tar.directory(inside + b"/" + name)
        for name in sorted(files):
            with regular_file(os.path.join(at, name)) as stream:
                found = os.fstat(stream.fileno())
                total += found.st_size
                count += 1
                if total > _BYTES_LIMIT or count > _COUNT_LIMIT:
                    raise WorkspaceError(
                        f"{folder} holds more than {_COUNT_LIMIT} files or {_BYTES_LIMIT >> 20} MiB"
                    )
                yield tar.header(
                    inside + b"/" + name, kind=tar.REGULAR, mode=0o755, size=found.st_size
                )
                left = found.st_size
                while left:
                    piece = stream.read(min(left, _PIECE_BYTES))
                    if not piece:
                        raise WorkspaceError(f"{folder} changed while it was read")
                    left -= len(piece)
                    yield piece
                yield tar.padding(found.st_size)


def _place(path: str, *, owner: int) -> Iterator[bytes]:
    """An empty directory, whatever the image has there; and real ones on the way."""
    for parent in reversed(PurePosixPath(path).parents[:-1]):
        # In place of a link that stands there; a directory stays as it is, with what is in it.
        yield tar.directory(str(parent))
    yield tar.cleared(path, uid=owner)


def _raise(error: OSError) -> None:
    raise error
