"""Object stores that a repository borrows from (``objects/info/alternates``, git-clone(1)).

Owns reading such a file, and which of the stores it names may be read. The file is the
repository's, and with it each path: what it names is on the operator's host, and may belong to any
other repository there. So a store counts only where everybody can see which one it is, and where
it belongs to whoever owns the workspace.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from sandbox.git import config
from sandbox.git.run import QUOTED, unquoted
from sandbox.git.store import Store

FILE = b"objects/info/alternates"
FILE_LIMIT = 1 << 16
_SHALLOW = re.compile(rb"^[0-9a-f]{40}(?:[0-9a-f]{24})?$", re.MULTILINE)
_STORES_LIMIT = 16
_DEPTH_LIMIT = 5
"""As deep as git itself follows."""


class NotLent(Exception):
    """Nothing is borrowed. The message ends a sentence that begins with the file's path."""


def stores(text: bytes, *, root: str, owner: int) -> tuple[str, ...]:
    """The object directories that such a file names, and those that they name in turn.

    Args:
        text: what stands in the file.
        root: the workspace, without links in its path.
        owner: user id of whoever owns the workspace.

    Raises:
        NotLent: git would read one of them that may not be read here.
    """
    found: dict[str, None] = {}
    waiting = [(name, 1) for name in names(text)]
    while waiting:
        name, depth = waiting.pop(0)
        if depth > _DEPTH_LIMIT or len(found) > _STORES_LIMIT:
            raise NotLent("names too many object directories")
        store = _judged(os.fsdecode(name), root, owner)
        if store not in found:
            found[store] = None
            waiting += [(each, depth + 1) for each in names(_lent_by(store))]
    if not found:
        raise NotLent("names no object directory")
    return tuple(found)


def store_over(directory: Path, lenders: Iterable[str], settings: bytes, shallow: bytes) -> Store:
    """A private store in which git reads the objects of others.

    Args:
        settings, shallow: the files of that repository (``config``, ``shallow``): of what stands
            there, its object format and where its history ends are taken over.
    """
    store = Store(directory, object_format=config.object_format(settings))
    (directory / FILE.decode()).parent.mkdir()
    named = "".join(f"{name}\n" for name in lenders)
    (directory / FILE.decode()).write_text(named, "utf-8", "surrogateescape")
    if ends := _SHALLOW.findall(shallow):
        (directory / "shallow").write_bytes(b"".join(each + b"\n" for each in ends))
    return store


def names(text: bytes) -> Iterator[bytes]:
    """What such a file says, a name at a time; relative ones begin at its own object directory."""
    for line in text.split(b"\n"):
        if line and not line.startswith(b"#"):
            quoted = QUOTED.fullmatch(line)
            yield unquoted(quoted[1]) if quoted else line


def _judged(name: str, root: str, owner: int) -> str:
    """The real path of an object directory that may be read."""
    if not os.path.isabs(name):
        # git writes none; and a path that climbs is one that fits many hosts.
        raise NotLent(f"names {name!r:.200}, which is not an absolute path")
    try:
        path = os.path.realpath(name, strict=True)
        top = os.lstat(path)
        real = _is_store(path)
    except (OSError, ValueError):
        raise NotLent(f"names {name!r:.200}, which can't be read") from None
    if "\n" in path or not real or not stat.S_ISDIR(top.st_mode):
        raise NotLent(f"names {name!r:.200}, which is not a repository's object directory")
    if top.st_uid != owner:
        raise NotLent(f"names {path!r:.200}, which is another user's")
    if os.path.commonpath([path, root]) == root:
        raise NotLent(f"names {path!r:.200}, which is in the workspace itself")
    return path


def _is_store(path: str) -> bool:
    """Whether it is one, without links, which would lead to another one than is shown, and without
    pipes, for which git would wait."""
    if os.path.basename(path) != "objects" or not os.path.isfile(path + "/../HEAD"):
        return False
    for name in os.listdir(path):
        with os.scandir(os.path.join(path, name)) as entries:
            if os.path.islink(os.path.join(path, name)) or not all(map(_is_plain, entries)):
                return False
    return True


def _is_plain(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)


def _lent_by(store: str) -> bytes:
    try:
        with open(os.path.join(store, "info", "alternates"), "rb") as file:
            return file.read(FILE_LIMIT)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise NotLent(f"leads to {store!r:.200}, whose own can't be read: {error}") from None
