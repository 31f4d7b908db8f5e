"""The workspace where it is: what stands there, and whether it changed.

A look is at a directory of the host; one at a folder of an image is `image_tree`'s, in the same
form. Only ever reads, never follows a link, and runs nothing. Paths are bytes relative to the root.
"""

import hashlib
import marshal
import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from policies.frozen import dataclass
from sandbox.cache import regular_file
from sandbox.errors import WorkspaceError
from sandbox.git.linked_tree import LinkedTree, host_path
from sandbox.git.linked_tree import find as find_linked
from sandbox.git.manifest import blob_hash, blob_id

if TYPE_CHECKING:
    from sandbox.workspace.image_tree import ImageTree

_RACY_NS = 2_000_000_000
"""A file changed this close to the look may change again without a new time stamp: the coarsest
clock of a common file system (FAT) ticks every two seconds."""

_DEPTH_LIMIT = 512
_KIND = 0o170000
_WITH_CONTENT = frozenset({stat.S_IFREG, stat.S_IFLNK})
_PIECE_BYTES = 1 << 18
_COUNT_LIMIT = 2_000_000


class FoundFile(NamedTuple):
    """One thing in the workspace. A tuple, because there are many of them."""

    path: bytes
    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A look at the whole tree."""

    root: "Path | ImageTree"
    rows: tuple[FoundFile, ...]
    """Parents before children, sorted within a directory."""
    fingerprint: str
    """A text that is equal for two looks between which nothing changed (`racy` files aside)."""
    racy: tuple[bytes, ...]
    """Files and links too young for their time stamps to be trusted: compare their content."""
    unreadable: tuple[tuple[bytes, int], ...]
    """Directories that could not be listed, each with the system's error number."""
    linked: LinkedTree | None
    """Where the files below ``.git`` are, if the workspace is a linked work tree: in the rows they
    stand as in any other."""
    walk: str = ""
    """What `walk_digest` gave just before, for a large tree."""


def scan(root: Path) -> Scan:
    """Look at everything below `root`.

    Raises:
        WorkspaceError: it does not exist, is no directory, can't be read, or is absurdly large.
    """
    started_ns = time.time_ns()
    base = _opened(root)
    linked = find_linked(root)
    young = started_ns - _RACY_NS
    found: list[FoundFile] = []
    modes: dict[int, int] = {}
    racy: list[bytes] = []
    unreadable: list[tuple[bytes, int]] = []
    digest = hashlib.sha256()
    stack: list[tuple[bytes, int]] = [(b"", 0)]
    while stack:
        directory, depth = stack.pop()
        try:
            if linked is not None and directory == b".git":
                rows = [(name, os.lstat(linked.path(name))) for name in linked.names()]
            else:
                rows = _rows(host_path(root, directory, linked) if directory else base)
            if linked is not None and not directory:
                # Its own is a file, which names the repository's.
                rows = [row for row in rows if row[0] != b".git"]
                rows.append((b".git", os.lstat(linked.common)))
                rows.sort()
        except (FileNotFoundError, NotADirectoryError):
            continue  # removed while we looked
        except OSError as error:
            unreadable.append((directory, error.errno or 0))
            continue
        prefix = directory + b"/" if directory else b""
        seen: list[tuple[object, ...]] = []
        for name, state in rows:
            # One object for all that are equal: there may be a hundred thousand.
            mode = modes.setdefault(state.st_mode, state.st_mode)
            mtime, ctime = state.st_mtime_ns, state.st_ctime_ns
            ctime = mtime if ctime == mtime else ctime
            row = (prefix + name, mode, state.st_size, mtime, ctime, state.st_ino)
            found.append(tuple.__new__(FoundFile, row))
            kind = mode & _KIND
            if kind == stat.S_IFDIR:
                if depth >= _DEPTH_LIMIT:
                    path = os.fsdecode(row[0])
                    raise WorkspaceError(f"the workspace is nested too deep at {path}")
                stack.append((row[0], depth + 1))
                # A directory's own times change with its entries, which are listed anyway.
                seen.append((row[0], mode, state.st_ino))
            else:
                seen.append(row)
                if (ctime >= young or mtime >= young) and kind in _WITH_CONTENT:
                    racy.append(row[0])
        # Version 2 writes equal values equally; it is read by nobody.
        digest.update(marshal.dumps(seen, 2))
        if len(found) > _COUNT_LIMIT:
            raise WorkspaceError(f"the workspace holds more than {_COUNT_LIMIT} files")
    return Scan(
        root=root,
        rows=tuple(found),
        fingerprint=digest.hexdigest(),
        racy=tuple(racy),
        unreadable=tuple(unreadable),
        linked=linked,
    )


def _opened(root: Path) -> bytes:
    """The root's name as bytes, known to be a directory that we may read."""
    base = os.fsencode(root)
    try:
        if not stat.S_ISDIR(os.stat(base).st_mode):
            raise WorkspaceError(f"the workspace {root} is not a directory")
        os.scandir(base).close()
    except FileNotFoundError:
        raise WorkspaceError(f"the workspace {root} does not exist") from None
    except PermissionError:
        raise WorkspaceError(f"the workspace {root} can't be read by this user") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise WorkspaceError(f"the workspace {root!s:.200} can't be read: {reason}") from None
    return base


def _rows(directory: bytes) -> list[tuple[bytes, os.stat_result]]:
    """Names in a directory, sorted, each with its state."""
    rows = []
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                rows.append((entry.name, entry.stat(follow_symlinks=False)))
            except FileNotFoundError:
                continue
    rows.sort()
    return rows


def open_file(root: "Path | ImageTree", path: bytes, linked: LinkedTree | None = None) -> BinaryIO:
    """A regular file of the workspace. Raises `OSError`."""
    if not isinstance(root, Path):
        return root.open_file(path)
    return regular_file(host_path(root, path, linked), buffering=0)


def read_link(root: "Path | ImageTree", path: bytes, linked: LinkedTree | None = None) -> bytes:
    """The target of a symbolic link of the workspace. Raises `OSError`."""
    if not isinstance(root, Path):
        return root.read_link(path)
    return os.readlink(host_path(root, path, linked))


def content_id(looked: Scan, path: bytes) -> str | None:
    """git's object id of what a file holds now, of a link's target; None where there is neither."""
    if not isinstance(looked.root, Path):
        return None
    try:
        place = host_path(looked.root, path, looked.linked)
        if stat.S_ISLNK(os.lstat(place).st_mode):
            return blob_id(os.readlink(place))
        with open_file(looked.root, path, looked.linked) as file:
            size = os.fstat(file.fileno()).st_size
            digest = blob_hash(size)
            while data := file.read(_PIECE_BYTES):
                digest.update(data)
            return digest.hexdigest()
    except OSError:
        return None


def read_git_file(
    root: "Path | ImageTree", path: bytes, linked: LinkedTree | None, limit: int
) -> bytes:
    """A file below the workspace's own ``.git``, up to a limit in bytes. Raises `OSError`."""
    # A repository elsewhere, to which a link leads, is nobody's business here; what is known of an
    # image's folder is never below a link.
    if (
        isinstance(root, Path)
        and linked is None
        and not stat.S_ISDIR(os.lstat(root / ".git").st_mode)
    ):
        raise NotADirectoryError(".git")
    with open_file(root, path, linked) as file:
        return file.read(limit)


def own_name(root: "Path | ImageTree") -> bytes:
    """The absolute path of the workspace where it is, without links in it."""
    if not isinstance(root, Path):
        return os.fsencode(root.folder.path)
    return os.path.realpath(os.fsencode(root))
