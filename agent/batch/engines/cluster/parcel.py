"""Files on their way between machines: read on the one, written on the other.

Only regular files and directories travel. What arrives is believed to be nothing more: no name
leads out of the directory that it is written to, and that is there whole or not at all.
"""

import os
import shutil
import stat
import tempfile
from pathlib import Path

from agent.errors import RecordError
from policies.frozen import dataclass

MOST_BYTES = 2 << 30
"""Of all files together."""
_DEEPEST = 64
_INCOMING = ".incoming-"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTree:
    directories: tuple[bytes, ...]
    """Paths relative to the tree's root, parents first."""
    files: tuple[tuple[bytes, int, bytes], ...]
    """Path, permission bits, content."""


def read_tree(root: Path) -> FileTree:
    """All files of a directory.

    Raises:
        RecordError: they can't be read, or are too large.
    """
    directories: list[bytes] = []
    files: list[tuple[bytes, int, bytes]] = []
    total = 0
    try:
        for place, names, found in os.walk(os.fsencode(root)):
            names.sort()
            base = os.path.relpath(place, os.fsencode(root))
            inside = b"" if base == b"." else base + b"/"
            directories += [
                inside + name for name in names if not os.path.islink(os.path.join(place, name))
            ]
            for name in sorted(found):
                path = os.path.join(place, name)
                said = os.lstat(path)
                if not stat.S_ISREG(said.st_mode):
                    continue
                total += said.st_size
                if total > MOST_BYTES:
                    raise RecordError(
                        f"more than {MOST_BYTES >> 30} GiB are no load for the cluster, so they "
                        f"stay where they are: {root} on {os.uname().nodename}"
                    )
                with open(path, "rb") as file:
                    files.append((inside + name, said.st_mode & 0o777, file.read()))
    except OSError as error:
        raise RecordError(f"{root} can't be read: {error}") from error
    return FileTree(directories=tuple(directories), files=tuple(files))


def write_tree(tree: FileTree, target: Path) -> None:
    """Write it as `target`, in place of what stood there.

    Raises:
        RecordError: it can't be written, or a name in it leads elsewhere.
    """
    for path in (*tree.directories, *(path for path, _, _ in tree.files)):
        parts = path.split(b"/")
        if len(parts) > _DEEPEST or any(it in {b"", b".", b".."} or b"\0" in it for it in parts):
            raise RecordError(f"what came for {target} names what is not in it: {path!r:.200}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        work = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=target.parent))
        try:
            made = work / "made"
            _write(tree, os.fsencode(made))
            if target.exists():
                target.rename(work / "before")
            made.rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise RecordError(f"{target} can't be written: {error.strerror}") from error


def _write(tree: FileTree, root: bytes) -> None:
    for path in (b"", *tree.directories):
        os.mkdir(os.path.join(root, path), 0o700)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    for path, mode, content in tree.files:
        handle = os.open(os.path.join(root, path), flags, mode & 0o700 | 0o400)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
