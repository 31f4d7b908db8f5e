"""One container over its life: the link to its guest, its files, what happens if the guest dies.

File operations are on bytes. Paths are resolved in the container, never here.
"""

import contextlib
import threading
from collections.abc import Callable
from functools import partial

from sandbox.container import opening
from sandbox.container.host_disk import EngineDisk, HostDisk
from sandbox.container.opening import StartedContainer
from sandbox.container.plan import OpeningPlan
from sandbox.engine.docker import Engine
from sandbox.errors import ContainerGone, FileError, FileMissing, SandboxError, SandboxLost
from sandbox.guest import protocol
from sandbox.guest.message import HostRequest
from sandbox.guest.protocol import Done, Prolong
from sandbox.guest.wire import PIECE
from sandbox.link import A, GuestLink
from sandbox.results import DirectoryEntry, FileType, Listing

_RESTARTS = 3
"""A guest that dies more often than this has no honest reason to."""


class Session:
    """A started container, and the right to start it again."""

    def __init__(
        self,
        engine: Engine,
        plan: OpeningPlan,
        started: StartedContainer,
        *,
        discard: Callable[[StartedContainer], None] | None = None,
    ) -> None:
        """`discard` removes the container in the end, where that is not ours to do."""
        self._discard = discard or partial(opening.discard, engine)
        self.engine = engine
        self.plan = plan
        self.started = started
        self._reviving = threading.Lock()
        self._restarts = 0
        self._closed = False
        self._doomed: str | None = None
        self.disk_low = threading.Event()
        """The host's disk is filling up: the running command is to end."""
        self._disk = HostDisk(EngineDisk(engine), end_command=self.disk_low.set, kill=self._kill)

    @property
    def link(self) -> GuestLink:
        return self.started.link

    def ask(self, request: HostRequest, kind: type[A]) -> A:
        """Ask the guest; where it has died, start it again and ask once more.

        Raises:
            FileError: the guest's kernel refused it.
            SandboxLost: the guest does not come back.
        """
        link = self.started.link
        try:
            return link.ask(request, kind)
        except SandboxLost as lost:
            self.revive(lost, link)
            return self.link.ask(request, kind)

    def revive(self, lost: SandboxLost, link: GuestLink | None = None) -> None:
        """Start a dead guest again.

        Args:
            link: the one that it was lost on; nothing is done where another thread has seen to it.

        Raises:
            SandboxLost: it died too often, or does not come back.
        """
        with self._reviving:
            if link is not None and link is not self.link:
                return
            if self._doomed is not None:
                raise SandboxLost(self._doomed) from lost
            self._restarts += 1
            if self._closed or self._restarts > _RESTARTS:
                raise lost
            self.started = opening.restart(self.engine, self.plan, self.started)

    def rouse(self) -> bool:
        """Have the guest live for a whole lifetime from now; True where it had to be started again.

        That is the operator's doing, and does not count as a death of its own.

        Raises:
            SandboxLost: it does not come back.
        """
        link = self.link
        if link.lost is None:
            try:
                link.ask(Prolong(), Done)
            except SandboxLost:
                pass
            else:
                return False
        with self._reviving:
            if link is self.link:
                if self._doomed is not None or self._closed:
                    raise SandboxLost(self._doomed or "the sandbox was closed")
                self.started = opening.restart(self.engine, self.plan, self.started)
        return True

    def stay_down(self) -> None:
        """Never start the guest: only the engine is asked any more."""
        self._restarts = _RESTARTS

    def is_gone(self) -> bool:
        """Whether the container was removed, or is being removed: nothing can be had from it."""
        try:
            state = self.engine.inspect(self.started.container).get("State") or {}
        except ContainerGone:
            return True
        except SandboxError:
            return False
        return state.get("Status") in {"removing", "dead"}

    def _kill(self, why: str) -> None:
        """End the container for good, from the thread that watches the host."""
        self._doomed = why
        self.link.give_up(why)
        with contextlib.suppress(SandboxError):
            self.engine.kill(self.started.container)

    def close(self) -> None:
        """Remove the container with everything in it."""
        if not self._closed:
            self._closed = True
            self._disk.stop()
            self._discard(self.started)


def path_bytes(path: str) -> bytes:
    """A path as the guest takes it.

    Raises:
        FileMissing: no file can have that name.
    """
    try:
        name = text_bytes(path)
    except FileError:
        name = b""
    if not name:
        raise FileMissing("no file can have that name")
    return name


def text_bytes(text: str) -> bytes:
    """A word of a command as the guest takes it.

    Raises:
        FileError: the kernel takes none such: it holds a NUL byte, or half of a surrogate pair.
    """
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise FileError("half of a surrogate pair is no text that can be sent") from None
    if b"\0" in data:
        raise FileError("a command can't hold a NUL byte")
    return data


_READ_LIMIT = 64 << 20
_LIST_LIMIT = 2000
_TYPES = {b"f": FileType.FILE, b"d": FileType.DIRECTORY, b"l": FileType.SYMLINK}


class SessionFiles:
    """Reads and writes files of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def read_file(self, path: str, *, offset: int = 0, limit: int | None = None) -> bytes:
        """Bytes of a file; paths are relative to the workspace or absolute in the container.

        Args:
            offset, limit: in bytes; no limit means all of it, up to 64 MiB.

        Raises:
            FileMissing, FileDenied, FileWrongType: as the container's kernel says.
            FileError: it is larger than 64 MiB and no limit is given.
        """
        wanted = _READ_LIMIT + 1 if limit is None else limit
        pieces: list[bytes] = []
        have = 0
        while have < wanted:
            data = self._piece(path, offset + have, min(PIECE, wanted - have)).data
            if not data:
                break
            pieces.append(data)
            have += len(data)
            if len(data) < PIECE:
                break
        if limit is None and have > _READ_LIMIT:
            raise FileError(f"is larger than {_READ_LIMIT} bytes: read it in parts")
        return b"".join(pieces)

    def _piece(self, path: str, offset: int, limit: int) -> protocol.FilePiece:
        wanted = protocol.ReadPiece(path=path_bytes(path), offset=offset, limit=limit)
        piece = self._session.ask(wanted, protocol.FilePiece)
        if len(piece.data) > limit:
            raise SandboxLost("the guest read more of a file than it was asked for")
        return piece

    def write_file(self, path: str, data: bytes, *, overwrite: bool = True) -> None:
        """Write a file, making its parent folders.

        Raises:
            FileExists: there is one, and `overwrite` is False.
            FileDenied, FileWrongType: as the container's kernel says.
        """
        name = path_bytes(path)
        first = protocol.WritePiece(path=name, data=data[:PIECE], append=False, overwrite=overwrite)
        self._session.ask(first, protocol.Done)
        for at in range(PIECE, len(data), PIECE):
            piece = data[at : at + PIECE]
            more = protocol.WritePiece(path=name, data=piece, append=True, overwrite=True)
            self._session.ask(more, protocol.Done)

    def delete_file(self, path: str) -> None:
        """Remove a file or a link; FileWrongType for a directory."""
        self._session.ask(protocol.DeletePath(path=path_bytes(path)), protocol.Done)

    def list_dir(self, path: str = ".") -> Listing:
        """What stands in a directory, at most 2,000 entries, sorted by name."""
        listed = self._session.ask(
            protocol.ListDirectory(path=path_bytes(path), limit=_LIST_LIMIT), protocol.Listed
        )
        entries = sorted(map(_entry, listed.entries[:_LIST_LIMIT]), key=lambda entry: entry.name)
        return Listing(entries=tuple(entries), cut=listed.cut)


def _entry(found: protocol.ListedEntry) -> DirectoryEntry:
    kind = _TYPES.get(found.kind, FileType.OTHER)
    return DirectoryEntry(name=found.name, type=kind, size_bytes=found.size)
