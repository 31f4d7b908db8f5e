"""File operations of a sandbox, on bytes. Paths are resolved in the container, never here."""

from sandbox.container.session import Session, path_bytes
from sandbox.errors import FileError, SandboxLost
from sandbox.guest import protocol
from sandbox.guest.wire import PIECE
from sandbox.results import DirectoryEntry, FileType, Listing

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
