"""What changed in a workspace copy by the word of its guest, and the new bytes out of it.

The guest is asked while it lives; where it does not, `engine_changes` finds the same without it.
Everything that it says is a stranger's: paths are checked, sizes bounded, and a lie can do no worse
than leave the liar's own change out.
"""

import stat
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sandbox.errors import CollisionError, SandboxLost
from sandbox.git.manifest import EXECUTABLE, FILE, SYMLINK, Manifest, ManifestEntry, Trees
from sandbox.git.path_rules import carried
from sandbox.git.store import Store
from sandbox.guest import protocol
from sandbox.guest.message import GuestAnswer
from sandbox.link import GuestLink
from sandbox.patch.values import LeftOut, collides, empty_directory, mode_notes, special, too_large

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
    """When candidates last changed, in ns, as far as the source told it. A file whose time is equal
    in two looks did not change between them."""
    modes: dict[bytes, int] = field(default_factory=dict)
    """Mode, with its type, of everything that has a time."""


class _GuestWalk:
    """The pieces of one or more walks, joined."""

    def __init__(self, link: GuestLink) -> None:
        self._link = link
        self._end = link.stream_end()
        self.files: dict[bytes, protocol.ChangedFile] = {}
        self.listings: dict[bytes, set[bytes]] = {}
        """Entries of changed directories, each a letter for its kind and its name."""
        self._rows = 0

    def take(self, start: bytes, *, everything: bool) -> None:
        wanted = protocol.WalkTree(start=start, everything=everything)
        for piece in self._link.stream(wanted, protocol.TreeChanges, end=self._end):
            # Counted as they come, empty pieces too: what is said twice adds no path.
            self._rows += 1 + len(piece.files) + len(piece.folders)
            for file in piece.files:
                self.files[_known(file.path)] = file
            for folder in piece.folders:
                self._take_folder(folder)
            if self._rows > _CHANGED_LIMIT:
                raise SandboxLost("the guest's list of changes has no end")

    def _take_folder(self, folder: protocol.ChangedFolder) -> None:
        self._rows += len(folder.names)
        path = folder.path and _known(folder.path)
        self.listings.setdefault(path, set()).update(folder.names)


def _known(path: bytes) -> bytes:
    if not carried(path):
        raise SandboxLost("the guest's list of changes holds what is no path in a workspace")
    return path


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
    walk = _GuestWalk(link)
    walk.take(b"", everything=not times_tell)
    touched = set(walk.listings) if times_tell else set()
    manifest = baseline()
    baseline_trees = Trees.known(manifest.entries)
    # A directory that the baseline did not have may have been moved there with everything in it
    # as it was: nothing below it shows as changed, so all of it is looked at.
    looked_at: set[bytes] = set()
    for directory, names in sorted(walk.listings.items()):  # parents before children
        for name in names:
            path = directory + b"/" + name[1:] if directory else name[1:]
            if name[:1] != b"d" or name == b"d.git" or baseline_trees.has_directory(path):
                continue
            if carried(path):
                looked_at.add(path)
                if directory not in looked_at:
                    walk.take(path, everything=True)
    changes = FoundChanges()
    for path, file in walk.files.items():
        _sort_in(changes, path, file.mode)
        changes.times[path] = file.ctime_ns
        changes.modes[path] = file.mode
    for directory, names in walk.listings.items():
        for name in names:
            path = directory + b"/" + name[1:] if directory else name[1:]
            if name[:1] in b"fl" and path not in manifest.entries and carried(path):
                changes.candidates.add(path)
    changes.left_out += _notes(walk, touched)
    for directory, names in walk.listings.items():
        changes.deleted.update(baseline_trees.missing(directory, names))
    changes.candidates -= changes.deleted
    return changes


def _sort_in(changes: FoundChanges, path: bytes, mode: int) -> None:
    if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        changes.candidates.add(path)
    elif stat.S_ISDIR(mode):
        changes.left_out.append(LeftOut(path=path, reason="is nested too deep for a patch"))
    else:
        changes.left_out.append(special(path))


def _notes(walk: _GuestWalk, touched: set[bytes]) -> list[LeftOut]:
    """Empty directories and odd modes that came in the container."""
    empty = [
        empty_directory(path)
        for path, names in walk.listings.items()
        if path in touched and path and not names
    ]
    odd = [note for path, file in walk.files.items() for note in mode_notes(path, file.mode)]
    return empty + odd


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
    allowed = 4 * limit_bytes if total_bytes is None else total_bytes
    ordered = deque(sorted(paths))
    end = link.stream_end()
    while ordered:
        batch = [ordered.popleft() for _ in range(min(_BATCH, len(ordered)))]
        limit = left = min(limit_bytes, allowed)
        wanted_files = protocol.FetchFiles(paths=batch, limit=limit)
        pieces = link.stream(wanted_files, protocol.FileHead, protocol.FileData, end=end)
        again: list[bytes] = []
        for wanted in batch:
            head = _head(pieces, wanted)
            size, is_link, is_file = head.size, stat.S_ISLNK(head.mode), stat.S_ISREG(head.mode)
            if is_link and size > _LINK_LIMIT:
                raise SandboxLost("the guest sent a link that no file system can hold")
            sent = is_file and size <= left
            left -= size if sent else 0
            body = _body(pieces, size if sent or is_link else 0)
            if not head.mode:
                found[wanted] = None
            elif is_link or sent:
                allowed -= size if sent else 0
                git_mode = SYMLINK if is_link else EXECUTABLE if head.mode & 0o100 else FILE
                try:
                    found[wanted] = ManifestEntry(git_mode, store.put(body, size), size)
                except CollisionError:
                    left_out.append(collides(wanted))
            elif is_file and size <= limit:
                again.append(wanted)
            elif is_file:
                left_out.append(too_large(wanted, size))
            else:
                left_out.append(LeftOut(path=wanted, reason="is no file any more"))
            for _ in body:
                pass  # what was not stored must still be read
        if next(pieces, None) is not None:
            raise SandboxLost("the guest sent more than it was asked for")
        if len(again) == len(batch):
            raise SandboxLost("the guest sent none of the files that it was asked for")
        ordered.extendleft(reversed(again))
    return found, left_out


def _head(pieces: Iterator[GuestAnswer], wanted: bytes) -> protocol.FileHead:
    match next(pieces, None):
        case protocol.FileHead(path=path, size=size) as head if path == wanted and size >= 0:
            return head
        case _:
            raise SandboxLost("the guest did not begin the file that it was asked for")


def _body(pieces: Iterator[GuestAnswer], size: int) -> Iterator[bytes]:
    while size:
        match next(pieces, None):
            case protocol.FileData(data=data) if 0 < len(data) <= size:
                size -= len(data)
                yield data
            case _:
                raise SandboxLost("the guest sent another length of a file than it said")
