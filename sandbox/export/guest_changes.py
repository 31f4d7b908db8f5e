"""Finding what changed in a workspace copy, and bringing the new bytes out.

Two sources of the same facts: the guest, fast, while it lives; and the engine's tar of the whole
workspace, where it does not. Everything either says is a stranger's: paths are checked, sizes
bounded, and a lie can do no worse than leave the liar's own change out.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from sandbox.errors import CollisionError, SandboxLost
from sandbox.git.manifest import EXECUTABLE, FILE, SYMLINK, Manifest, ManifestEntry
from sandbox.git.path_rules import carried
from sandbox.git.store import Store
from sandbox.link.connection import GuestLink, Value
from sandbox.patch.left_out import _REGULAR, _TYPE, COLLIDES, EMPTY, SPECIAL, mode_notes
from sandbox.patch.values import LeftOut

_DIRECTORY = 0o040000
_LINK = 0o120000
_LINK_LIMIT = 4096
_CHANGED_LIMIT = 500_000
_BATCH = 256


@dataclass(slots=True, kw_only=True)
class FoundChanges:
    """What a source found. Paths relative to the workspace."""

    candidates: set[bytes] = field(default_factory=set)
    """Files and links that may be new or different."""
    deleted: set[bytes] = field(default_factory=set)
    left_out: list[LeftOut] = field(default_factory=list)
    times: dict[bytes, int] = field(default_factory=dict)
    """Of candidates, where the source told it: the last change in ns. Equal: as it was."""
    modes: dict[bytes, int] = field(default_factory=dict)
    """Of what has a time: its mode, type and all."""


class _GuestWalk:
    """The pieces of one or more walks, joined."""

    def __init__(self) -> None:
        self.files: dict[bytes, tuple[int, int]] = {}
        """Mode and time of the last change, in ns."""
        self.listings: dict[bytes, set[bytes]] = {}
        self._rows = 0

    def take(self, link: GuestLink, start: bytes, *, everything: bool) -> None:
        for piece in link.stream("walk", start, int(everything)):
            match piece:
                case []:
                    return
                case [list() as files, list() as directories]:
                    # Counted as they come, empty pieces too: what is said twice adds no path.
                    self._rows += 1 + len(files) + len(directories)
                    self._take_files(files)
                    self._take_directories(directories)
                case _:
                    raise SandboxLost("the guest's list of changes is malformed")
            if self._rows > _CHANGED_LIMIT:
                raise SandboxLost("the guest's list of changes has no end")

    def _take_files(self, rows: list[Value]) -> None:
        for row in rows:
            match row:
                case [bytes() as path, int() as mode, int() as ctime_ns] if carried(path):
                    self.files[path] = mode, ctime_ns
                case _:
                    raise SandboxLost("the guest's list of changes is malformed")

    def _take_directories(self, rows: list[Value]) -> None:
        for row in rows:
            match row:
                case [bytes() as path, list() as names] if not path or carried(path):
                    self._rows += len(names)
                    known = self.listings.setdefault(path, set())
                    known.update(name for name in names if isinstance(name, bytes))
                case _:
                    raise SandboxLost("the guest's list of changes is malformed")


def from_guest(
    link: GuestLink, baseline: Callable[[], Manifest], *, times_tell: bool = True
) -> FoundChanges:
    """Ask the guest what changed since it started.

    Args:
        baseline: gives the manifest; asked for when the guest has answered.
        times_tell: whatever changed has a new time; otherwise every file is a candidate.

    Raises:
        SandboxLost, FileError: it can't say.
    """
    walk = _GuestWalk()
    walk.take(link, b"", everything=not times_tell)
    touched = set(walk.listings) if times_tell else set()
    manifest = baseline()
    folders = _Folders(manifest)
    # A directory that the baseline did not have may have been moved there with everything in it
    # as it was: nothing below it shows as changed, so all of it is looked at.
    looked_at: set[bytes] = set()
    for directory, names in sorted(walk.listings.items()):  # parents before children
        for name in names:
            path = directory + b"/" + name[1:] if directory else name[1:]
            if name[:1] == b"d" and name != b"d.git" and path not in folders and carried(path):
                looked_at.add(path)
                if directory not in looked_at:
                    walk.take(link, path, everything=True)
    changes = FoundChanges()
    for path, (mode, ctime_ns) in walk.files.items():
        _sort_in(changes, path, mode)
        changes.times[path] = ctime_ns
        changes.modes[path] = mode
    for directory, names in walk.listings.items():
        for name in names:
            path = directory + b"/" + name[1:] if directory else name[1:]
            if name[:1] in b"fl" and path not in manifest.entries and carried(path):
                changes.candidates.add(path)
    changes.left_out += _notes(walk, touched)
    changes.deleted = _deleted(manifest, walk.listings)
    changes.candidates -= changes.deleted
    return changes


def _sort_in(changes: FoundChanges, path: bytes, mode: int) -> None:
    if mode & _TYPE in (_REGULAR, _LINK):
        changes.candidates.add(path)
    else:
        too_deep = mode & _TYPE == _DIRECTORY
        reason = "is nested too deep for a patch" if too_deep else SPECIAL
        changes.left_out.append(LeftOut(path=path, reason=reason))


def _notes(walk: _GuestWalk, touched: set[bytes]) -> list[LeftOut]:
    """Empty directories and odd modes that came in the container."""
    empty = [
        LeftOut(path=path, reason=EMPTY)
        for path, names in walk.listings.items()
        if path in touched and path and not names
    ]
    odd = [note for path, (mode, _) in walk.files.items() for note in mode_notes(path, mode)]
    return empty + odd


class _Folders:
    """The directories that a manifest implies."""

    def __init__(self, manifest: Manifest) -> None:
        self._known: set[bytes] = {b""}
        for path in manifest.entries:
            parent = path.rpartition(b"/")[0]
            while parent not in self._known:
                self._known.add(parent)
                parent = parent.rpartition(b"/")[0]

    def __contains__(self, path: bytes) -> bool:
        return path in self._known


def _deleted(manifest: Manifest, listings: Mapping[bytes, set[bytes]]) -> set[bytes]:
    """Entries of the baseline that no listing shows: removed, or turned into something else."""
    gone: dict[bytes, bool] = {b"": False}

    def is_gone(directory: bytes) -> bool:
        known = gone.get(directory)
        if known is None:
            parent, _, name = directory.rpartition(b"/")
            listing = listings.get(parent)
            known = is_gone(parent) or (listing is not None and b"d" + name not in listing)
            gone[directory] = known
        return known

    deleted = set()
    for path in manifest.entries:
        parent, _, name = path.rpartition(b"/")
        listing = listings.get(parent)
        missing = listing is not None and not (b"f" + name in listing or b"l" + name in listing)
        if missing or is_gone(parent):
            deleted.add(path)
    return deleted


def fetch(
    link: GuestLink,
    paths: set[bytes],
    store: Store,
    *,
    limit_bytes: int,
    total_bytes: int | None = None,
) -> tuple[dict[bytes, ManifestEntry | None], list[LeftOut]]:
    """Bring files and links out of the guest into the store.

    Args:
        limit_bytes: a file larger than this is left out.
        total_bytes: what all together may take; four times the limit of one unless said.
            No answer holds more of files than this either: a file with a hole costs the container
            nothing, and 256 of them in one answer would be read, sent and thrown away for minutes.

    Raises:
        SandboxLost: the guest died, or what it sends makes no sense.
    """
    found: dict[bytes, ManifestEntry | None] = {}
    left_out: list[LeftOut] = []
    room = 4 * limit_bytes if total_bytes is None else total_bytes
    ordered = deque(sorted(paths))
    while ordered:
        batch = [ordered.popleft() for _ in range(min(_BATCH, len(ordered)))]
        limit = left = min(limit_bytes, room)
        pieces = link.stream("fetch", cast("list[Value]", batch), limit)
        again: list[bytes] = []
        for wanted in batch:
            mode, size = _fetch_head(next(pieces, None), wanted)
            kind = mode & _TYPE
            if kind == _LINK and size > _LINK_LIMIT:
                raise SandboxLost("the guest sent a link that no file system can hold")
            sent = kind == _REGULAR and size <= left
            left -= size if sent else 0
            body = _body(pieces, size if sent or kind == _LINK else 0)
            if not mode:
                found[wanted] = None
            elif kind == _LINK or sent:
                room -= size if sent else 0
                git_mode = SYMLINK if kind == _LINK else EXECUTABLE if mode & 0o100 else FILE
                try:
                    found[wanted] = ManifestEntry(git_mode, store.put(body, size), size)
                except CollisionError:
                    left_out.append(LeftOut(path=wanted, reason=COLLIDES))
            elif kind == _REGULAR and size <= limit:
                again.append(wanted)
            elif kind == _REGULAR:
                reason = f"is too large for a patch ({size} bytes)"
                left_out.append(LeftOut(path=wanted, reason=reason))
            else:
                left_out.append(LeftOut(path=wanted, reason="is no file any more"))
            for _ in body:
                pass  # what was not stored must still be read
        if next(pieces, [b"?"]):
            raise SandboxLost("the guest sent more than it was asked for")
        if len(again) == len(batch):
            raise SandboxLost("the guest's answer to a fetch is malformed")
        ordered.extendleft(reversed(again))
    return found, left_out


def _fetch_head(piece: list[Value] | None, wanted: bytes) -> tuple[int, int]:
    match piece:
        case [[bytes() as path, int() as mode, int() as size]] if path == wanted and size >= 0:
            return mode, size
        case _:
            raise SandboxLost("the guest's answer to a fetch is malformed")


def _body(pieces: Iterator[list[Value]], size: int) -> Iterator[bytes]:
    while size:
        match next(pieces, None):
            case [bytes() as data] if 0 < len(data) <= size:
                size -= len(data)
                yield data
            case _:
                raise SandboxLost("the guest's answer to a fetch is malformed")
