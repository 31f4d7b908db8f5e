"""File operations of a sandbox, on bytes. Paths are resolved in the container, never here."""

from sandbox.container.session import Session, path_bytes
from sandbox.errors import FileError, SandboxLost
from sandbox.guest.wire import PIECE
from sandbox.results import DirectoryEntry, FileType, Listing

_READ_LIMIT = 64 << 20
_LIST_LIMIT = 2000
_TYPES = {b"f": FileType.FILE, b"d": FileType.DIRECTORY, b"l": FileType.SYMLINK}


class SessionFiles:
    """Reads and writes files of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def read(self, path: str, *, offset: int = 0, limit: int | None = None) -> bytes:
        """Bytes of a file; paths are relative to the workspace or absolute in the container.

        Raises:
            FileMissing, FileDenied, FileWrongType: as the container's kernel says.
            FileError: it is larger than 64 MiB and no limit is given.
        """
        wanted = _READ_LIMIT + 1 if limit is None else limit
        pieces: list[bytes] = []
        have = 0
        while have < wanted:
            piece, _ = self.read_piece(path, offset + have, min(PIECE, wanted - have))
            if not piece:
                break
            pieces.append(piece)
            have += len(piece)
            if len(piece) < PIECE:
                break
        if limit is None and have > _READ_LIMIT:
            raise FileError(f"is larger than {_READ_LIMIT} bytes: read it in parts")
        return b"".join(pieces)

    def read_piece(self, path: str, offset: int, size: int) -> tuple[bytes, int]:
        match self._session.ask("read", path_bytes(path), offset, size):
            case [bytes() as data, int() as total] if len(data) <= size:
                return data, total
            case _:
                raise SandboxLost("the guest's answer to a read is malformed")

    def write(self, path: str, data: bytes, *, overwrite: bool) -> None:
        """Write a file, making its parent folders.

        Raises:
            FileExists: there is one, and `overwrite` is False.
            FileDenied, FileWrongType: as the container's kernel says.
        """
        name = path_bytes(path)
        self._session.ask("write", name, data[:PIECE], 0, int(overwrite))
        for at in range(PIECE, len(data), PIECE):
            self._session.ask("write", name, data[at : at + PIECE], 1, 1)

    def delete(self, path: str) -> None:
        """Remove a file or a link; FileWrongType for a directory."""
        self._session.ask("delete", path_bytes(path))

    def listing(self, path: str) -> Listing:
        """What stands in a directory, at most 2,000 entries."""
        match self._session.ask("list", path_bytes(path), _LIST_LIMIT):
            case [list() as rows, int() as cut]:
                entries = []
                for row in rows[:_LIST_LIMIT]:
                    match row:
                        case [bytes() as name, bytes() as kind, int() as size]:
                            entries.append(
                                DirectoryEntry(
                                    name=name,
                                    type=_TYPES.get(kind, FileType.OTHER),
                                    size_bytes=size,
                                )
                            )
                entries.sort(key=lambda entry: entry.name)
                return Listing(entries=tuple(entries), cut=bool(cut))
            case _:
                raise SandboxLost("the guest's answer to a listing is malformed")
