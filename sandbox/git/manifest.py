"""What a workspace copy consists of: the baseline that a patch is made against, and its tree ids.

Owns git's tree format and its order. Knows no store: what has to be written is handed out as bytes.
A hundred thousand files are hashed once; a change costs only the directories above it.
"""

import hashlib
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import field
from itertools import count

from policies.frozen import dataclass
from sandbox.errors import PatchError
from sandbox.threads import Recent, Same

FILE = 0o100644
EXECUTABLE = 0o100755
SYMLINK = 0o120000

_ROW = struct.Struct("<IQ20s")
"""Mode, size and id of an entry."""

PERSONAL_EXCLUDE = b".git/info/personal-exclude"
PERSONAL_ATTRIBUTES = b".git/info/personal-attributes"
"""Where the person's own rules stand in a copy; they count less than all of the repository's."""


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One file as git sees it. Positional: there are a hundred thousand of them."""

    mode: int
    """`FILE`, `EXECUTABLE` or `SYMLINK`."""
    blob: str
    """SHA-1 object id (hex) of the content; of the target, for a symlink."""
    size: int


class ManifestEntries(Mapping[bytes, ManifestEntry]):
    """Entries by path, in the order in which they were added; only who makes them adds.

    As objects, those of a hundred thousand files take 20 MB: here each is a row of bytes until it
    is asked for, and paths are numbered when the first one is.
    """

    __slots__ = ("_numbers", "_paths", "_rows")

    def __init__(self) -> None:
        self._paths: list[bytes] = []
        self._rows = bytearray()
        self._numbers: dict[bytes, int] | None = None

    @classmethod
    def of(cls, entries: Mapping[bytes, ManifestEntry]) -> "ManifestEntries":
        """The same entries in this form."""
        if isinstance(entries, cls):
            return entries
        made = cls()
        for path, entry in entries.items():
            made.add(path, entry.mode, bytes.fromhex(entry.blob), entry.size)
        return made

    def add(self, path: bytes, mode: int, blob: bytes, size: int) -> None:
        """Add a path that is not there yet; `blob` is the id itself, not its digits."""
        self.extend((path,), _ROW.pack(mode, size, blob))

    def extend(self, paths: Iterable[bytes], rows: bytes | bytearray) -> None:
        """Add a piece of others."""
        self._paths += paths
        self._rows += rows
        self._numbers = None

    def only(self, paths: Collection[bytes]) -> "ManifestEntries":
        """Those of these paths."""
        made = ManifestEntries()
        for number, path in enumerate(self._paths):
            if path in paths:
                made._paths.append(path)
                made._rows += self._rows[number * _ROW.size : (number + 1) * _ROW.size]
        return made

    def pieces(self, count: int) -> Iterator[tuple[tuple[bytes, ...], bytes]]:
        """All of them, so many at a time: paths, and what stands for their entries."""
        for start in range(0, len(self._paths), count):
            rows = self._rows[start * _ROW.size : (start + count) * _ROW.size]
            yield tuple(self._paths[start : start + count]), bytes(rows)

    def __getitem__(self, path: bytes) -> ManifestEntry:
        mode, size, blob = _ROW.unpack_from(self._rows, self._known()[path] * _ROW.size)
        return ManifestEntry(mode, blob.hex(), size)

    def __contains__(self, path: object) -> bool:
        return path in self._known()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def _known(self) -> dict[bytes, int]:
        numbers = self._numbers
        if numbers is None:
            numbers = self._numbers = dict(zip(self._paths, count(), strict=False))
        return numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    entries: Mapping[bytes, ManifestEntry]
    """Every file and link by path relative to the workspace, ``/`` between parts. Nothing below any
    ``.git``."""
    tracked: frozenset[bytes] | None
    """Paths in the index of the workspace's own repository; None where there is none to read."""
    rule_files: Mapping[bytes, bytes]
    """Content of each ``.gitignore`` and ``.gitattributes`` in the copy by its path, of
    ``.git/info/exclude``, ``.git/info/attributes``, the person's own two files of rules, and what
    is read of ``.git/config``."""
    stored: Mapping[bytes, str] = field(default_factory=dict)
    """Id (hex) in that index of each file that it knows by another id than `entries`: it was
    changed since, is stored in another form, or its repository has longer ids."""
    object_format: str = "sha1"
    """What that repository's ids are made by: ``sha1`` or ``sha256``."""
    links: Mapping[bytes, bytes] = field(default_factory=dict)
    """Target of each symbolic link in the copy by its path."""


def blob_hash(size: int) -> "hashlib._Hash":
    """What gives git's object id of a content of that length (git-hash-object(1))."""
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)


Entries = Mapping[bytes, ManifestEntry | None]
"""Some of a tree's files by path; None: there is none."""


def blob_id(data: bytes) -> str:
    """git's object id of a content."""
    digest = blob_hash(len(data))
    digest.update(data)
    return digest.hexdigest()


_MODES = {FILE: b"100644", EXECUTABLE: b"100755", SYMLINK: b"120000"}
_TREE_MODE = b"40000"

# By name; None stands for a directory, which has its own row.
_Directory = dict[bytes, ManifestEntry | None]


class Trees:
    """The directories of one set of files, each with its tree id."""

    __slots__ = ("_directories", "_ids")

    def __init__(self, directories: dict[bytes, _Directory], ids: dict[bytes, str]) -> None:
        self._directories = directories
        self._ids = ids

    @classmethod
    def of(cls, entries: Mapping[bytes, ManifestEntry]) -> "Trees":
        """Raises `PatchError` where a path is both a file and a directory, or is no path."""
        trees = cls({b"": {}}, {})
        for path, entry in entries.items():
            trees._place(path, entry)
        trees._compute(trees._directories)
        return trees

    @classmethod
    def known(cls, entries: Mapping[bytes, ManifestEntry]) -> "Trees":
        """As `of`, for entries that never change: those who ask for the same share it."""
        return _known.get(Same(entries), lambda: cls.of(entries))

    @property
    def root(self) -> str:
        """Tree id of the whole, hex."""
        return self._ids[b""]

    def names(self, directory: bytes) -> Collection[bytes]:
        """What stands in a directory; nothing where there is none."""
        return self._directories.get(directory, {}).keys()

    def has_directory(self, path: bytes) -> bool:
        return path in self._directories

    def missing(self, directory: bytes, listing: Collection[bytes]) -> Iterator[bytes]:
        """Paths of the files that a directory holds and a listing of it does not, those below too.

        Args:
            listing: its entries now, each a letter for its kind (f, l, d) and its name.
        """
        left = [directory]
        while left:  # no recursion: the depth is the adversary's
            at = left.pop()
            prefix = at + b"/" if at else b""
            for name, entry in self._directories.get(at, {}).items():
                if entry is None:
                    if b"d" + name not in listing:
                        left.append(prefix + name)
                elif b"f" + name not in listing and b"l" + name not in listing:
                    yield prefix + name
            listing = ()

    def changed(
        self, changes: Mapping[bytes, ManifestEntry | None]
    ) -> tuple["Trees", tuple[bytes, ...]]:
        """The same files with these changes (None: gone), and the paths that found no place.

        What goes is taken out first, so that a file can make room for a directory of its name.
        A path finds no place where a file stands above it, or files below it.
        """
        trees = Trees(dict(self._directories), dict(self._ids))
        above = set(_above(changes))
        for directory in above & self._directories.keys():
            trees._directories[directory] = dict(self._directories[directory])
        for path, entry in changes.items():
            if entry is None:
                trees._remove(path)
        unplaced = []
        for path, entry in sorted(changes.items()):
            if entry is not None:
                try:
                    trees._place(path, entry)
                except PatchError:
                    unplaced.append(path)
        trees._compute(above & trees._directories.keys())
        return trees, tuple(unplaced)

    def write_above(self, paths: Collection[bytes], put: Callable[[bytes], str]) -> None:
        """Hand each tree on the way to these paths to `put`: all that a diff of them reads."""
        for directory in set(_above(paths)) & self._directories.keys():
            put(self._content(directory))

    def _place(self, path: bytes, entry: ManifestEntry) -> None:
        parent, _, name = path.rpartition(b"/")
        if not name or path[0] == 0x2F or b"\0" in path:
            raise PatchError(f"{path!r} is not the path of a file.")
        directory = self._directories.get(parent)
        if directory is None:
            directory = self._make(parent, path)
        if directory.get(name, entry) is None:
            raise PatchError(f"{path!r} is a file, but files below it are there too.")
        directory[name] = entry

    def _make(self, directory: bytes, wanted_for: bytes) -> _Directory:
        missing = []
        while directory not in self._directories:  # no recursion: the depth is the adversary's
            missing.append(directory)
            directory = directory.rpartition(b"/")[0]
        inner = self._directories[directory]
        for path in reversed(missing):
            name = path.rpartition(b"/")[2]
            if not name or inner.get(name) is not None:
                raise PatchError(f"{wanted_for!r} lies below {path!r}, which is a file.")
            inner[name] = None
            inner = self._directories[path] = {}
        return inner

    def _remove(self, path: bytes) -> None:
        parent, _, name = path.rpartition(b"/")
        directory = self._directories.get(parent)
        if directory is None or directory.get(name) is None:
            return  # no such file: already as wanted
        del directory[name]
        while not directory and parent:  # git knows no empty directories
            del self._directories[parent], self._ids[parent]
            parent, _, name = parent.rpartition(b"/")
            directory = self._directories[parent]
            del directory[name]

    def _compute(self, directories: Iterable[bytes]) -> None:
        deepest_first = sorted(directories, key=lambda path: path.count(b"/"), reverse=True)
        for directory in (*filter(None, deepest_first), b""):
            content = self._content(directory)
            sha1 = hashlib.sha1(b"tree %d\0" % len(content), usedforsecurity=False)
            sha1.update(content)
            self._ids[directory] = sha1.hexdigest()

    def _content(self, path: bytes) -> bytes:
        """The tree object. git sorts a directory as if its name ended in a slash."""
        prefix = path + b"/" if path else b""
        rows: list[tuple[bytes, bytes]] = []
        for name, entry in self._directories[path].items():
            if entry is None:
                raw = bytes.fromhex(self._ids[prefix + name])
                rows.append((name + b"/", b"%s %s\0%s" % (_TREE_MODE, name, raw)))
            else:
                mode = _MODES.get(entry.mode)
                if mode is None or len(entry.blob) != 40:
                    raise PatchError(f"{prefix + name!r} is neither a file nor a link: {entry!r}")
                rows.append((name, b"%s %s\0%s" % (mode, name, bytes.fromhex(entry.blob))))
        rows.sort()
        return b"".join([row for _, row in rows])


def _above(paths: Iterable[bytes]) -> Iterator[bytes]:
    """Each directory above each path, the root too; some more than once."""
    yield b""
    for path in paths:
        end = path.find(b"/")
        while end > 0:
            yield path[:end]
            end = path.find(b"/", end + 1)


_known = Recent[Trees](2)
