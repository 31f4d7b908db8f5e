"""A private git object store, written by our own code.

Owns a bare repository in a directory of the caller's: every byte of it is written here, without
`git init`, which would copy the host's templates (hooks, attributes). Knows content, not paths.
"""

import hashlib
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from sandbox.errors import CollisionError, PatchError

NOTHING = "0" * 40
"""Where there is no object."""

_CONFIG = b"[core]\n\trepositoryformatversion = %d\n\tbare = true\n\tfilemode = true\n"
_SHA256_CONFIG = _CONFIG % 1 + b"[extensions]\n\tobjectformat = sha256\n"
_HEXADECIMAL = frozenset("0123456789abcdef")
_PIECE_BYTES = 1 << 18
_HEADER_LIMIT_BYTES = 64


class Store:
    """Blobs and trees by their SHA-1 object id, or by SHA-256 where `object_format` says so, which
    is for a look at what a patch does there. The directory is created where it is missing.

    Two contents with one id (a SHA-1 collision) raise `CollisionError`: each id is kept with a
    SHA-256 of what it names, so that nobody can have one file reviewed and another one delivered.
    """

    def __init__(self, directory: Path, *, object_format: str = "sha1") -> None:
        self._directory = directory
        self._long_ids = object_format == "sha256"
        self._sha256: dict[str, bytes] = {}
        try:
            # Owner only: other users of the host have no business in a copy of a workspace.
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            (directory / "objects").mkdir(exist_ok=True)
            (directory / "refs").mkdir(exist_ok=True)
            (directory / "HEAD").write_bytes(b"ref: refs/heads/none\n")
            (directory / "config").write_bytes(_SHA256_CONFIG if self._long_ids else _CONFIG % 0)
        except OSError as problem:
            raise PatchError(
                f"can't make a git store in {directory}: {problem.strerror}; make room there, or "
                "set TMPDIR to another place"
            ) from problem

    @property
    def directory(self) -> Path:
        """Where the store is."""
        return self._directory

    def put(self, chunks: Iterable[bytes], size: int) -> str:
        """Store a blob of exactly `size` bytes as it streams by; gives its id, in hex.

        Raises `PatchError`: another size than said, a SHA-1 collision, a full disk.
        """
        return self._write(b"blob", chunks, size)

    def put_tree(self, content: bytes) -> str:
        """Store a tree object of this content (`Trees` knows its format); gives its id."""
        return self._write(b"tree", (content,), len(content))

    def put_commit(self, content: bytes) -> str:
        """Store a commit object of this content; gives its id."""
        return self._write(b"commit", (content,), len(content))

    def file_of(self, object_id: str) -> Path:
        """Where the object is, or would be. Raises `PatchError` for what is no id."""
        if len(object_id) not in {40, 64} or not _HEXADECIMAL.issuperset(object_id):
            raise PatchError(f"{object_id!r:.60} is not an object id.")
        return self._directory / "objects" / object_id[:2] / object_id[2:]

    def lend(self, blob: str, other: "Store") -> None:
        """Put a blob of this store into another one too, without copying where that goes."""
        source, target = self.file_of(blob), other.file_of(blob)
        try:
            target.parent.mkdir(exist_ok=True)
            try:
                target.hardlink_to(source)
            except FileExistsError:
                return
            except OSError:  # another file system, or one without hard links
                shutil.copyfile(source, target)
        except OSError as problem:
            raise PatchError(f"can't write to the patch's git store: {problem}") from problem

    def __contains__(self, object_id: str) -> bool:
        return self.file_of(object_id).is_file()

    def sha256_of(self, blob: str) -> str:
        """The id of a stored blob in repositories whose ids are SHA-256."""
        known = self._sha256.get(blob) or self._sha256_of(blob)
        if known is None:
            raise PatchError(f"blob {blob} is missing from the patch's git store.")
        return known.hex()

    def size(self, blob: str) -> int:
        """Bytes in a stored blob. Raises `PatchError` where it is not there."""
        return self._open(blob)[0]

    def read(self, blob: str) -> Iterator[bytes]:
        """The blob in pieces. Raises `PatchError` where it is missing or damaged."""
        return self._open(blob)[1]

    def read_bytes(self, blob: str, *, limit_bytes: int = 1 << 30) -> bytes:
        """The whole blob. Raises `PatchError` where it is larger than the limit."""
        size, pieces = self._open(blob)
        if size > limit_bytes:
            raise PatchError(f"blob {blob} is larger than the limit of {limit_bytes} bytes.")
        return b"".join(pieces)

    def _open(self, blob: str) -> tuple[int, Iterator[bytes]]:
        """Size by the header, and the content; the pieces add up to the size or raise."""
        pieces = _inflate(self.file_of(blob))
        try:
            head = next(pieces)
        except (OSError, zlib.error, StopIteration) as problem:
            raise PatchError(
                f"blob {blob} is missing from the patch's git store or damaged: {problem}"
            ) from problem
        header, _, first = head.partition(b"\0")
        kind, _, number = header.partition(b" ")
        if kind != b"blob" or len(header) > _HEADER_LIMIT_BYTES or not number.isdigit():
            raise PatchError(f"object {blob} is not a blob.")
        return int(number), _counted(first, pieces, int(number), blob)

    def _write(self, kind: bytes, chunks: Iterable[bytes], size: int) -> str:
        temporary = self._directory / "objects" / f"tmp_{os.urandom(8).hex()}"
        try:
            return self._write_loose(temporary, kind, chunks, size)
        except OSError as problem:
            raise PatchError(f"can't write to the patch's git store: {problem}") from problem
        finally:
            temporary.unlink(missing_ok=True)

    def _write_loose(self, temporary: Path, kind: bytes, chunks: Iterable[bytes], size: int) -> str:
        header = b"%s %d\0" % (kind, size)
        # The id is git's; what has to hold against an adversary is the SHA-256 beside it.
        sha1 = hashlib.sha1(header, usedforsecurity=False)
        sha256 = hashlib.sha256(header)
        deflate = zlib.compressobj(1)
        total = 0
        with temporary.open("xb", buffering=_PIECE_BYTES) as file:
            file.write(deflate.compress(header))
            for chunk in chunks:
                total += len(chunk)
                if total > size:
                    break
                sha1.update(chunk)
                sha256.update(chunk)
                file.write(deflate.compress(chunk))
            file.write(deflate.flush())
        if total != size:
            raise _other_size(size, total)
        object_id = (sha256 if self._long_ids else sha1).hexdigest()
        self._keep(temporary, object_id, sha256.digest())
        return object_id

    def _keep(self, temporary: Path, object_id: str, sha256: bytes) -> None:
        if not self._stands(object_id, sha256):
            final = self.file_of(object_id)
            final.parent.mkdir(exist_ok=True)
            temporary.chmod(0o444)
            temporary.rename(final)
        self._sha256[object_id] = sha256

    def _stands(self, object_id: str, sha256: bytes) -> bool:
        """Whether this very content is in the store. Raises `PatchError` where another one is."""
        known = self._sha256.get(object_id)
        if known is None:  # written by git, by an earlier Store on this directory, or not at all
            known = self._sha256_of(object_id)
        if known is None:
            return False
        if known != sha256:
            raise CollisionError(
                f"two different files have the SHA-1 id {object_id}: git can't tell them "
                "apart, so no patch can be trusted. Somebody made this collision on purpose."
            )
        return True

    def _sha256_of(self, object_id: str) -> bytes | None:
        """SHA-256 of an object that stands in the store, read again; None where none does."""
        loose = self.file_of(object_id)
        return _sha256_of_loose(loose) if loose.exists() else None


def check_announced(chunks: Iterable[bytes], size: int) -> bytes:
    """All of these bytes, which must be as many as was said. Raises `PatchError`."""
    pieces = []
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > size:
            break
        pieces.append(chunk)
    if total != size:
        raise _other_size(size, total)
    return b"".join(pieces)


def _other_size(size: int, total: int) -> PatchError:
    more = "more" if total > size else f"only {total}"
    return PatchError(
        f"a file of {size} bytes was announced and {more} came: it changed while it was read"
    )


def _counted(first: bytes, pieces: Iterator[bytes], size: int, blob: str) -> Iterator[bytes]:
    left = size - len(first)
    yield first
    try:
        for piece in pieces:
            left -= len(piece)
            if left < 0:
                break
            yield piece
    except (OSError, zlib.error) as problem:
        raise PatchError(f"blob {blob} can't be read from the git store: {problem}") from problem
    if left:
        raise PatchError(f"blob {blob} in the patch's git store is cut short or too long.")


def _inflate(path: Path) -> Iterator[bytes]:
    """Content of a zlib file in bounded pieces, whatever it expands to."""
    inflate = zlib.decompressobj()
    with path.open("rb") as file:
        while not inflate.eof:
            # Checked here, for what is left over of the last input comes first.
            data = inflate.unconsumed_tail or file.read(_PIECE_BYTES)
            piece = inflate.decompress(data, _PIECE_BYTES)
            if not data and not piece:
                return
            if piece:
                yield piece


def _sha256_of_loose(path: Path) -> bytes:
    digest = hashlib.sha256()
    try:
        for piece in _inflate(path):
            digest.update(piece)
    except (OSError, zlib.error) as problem:
        raise PatchError(f"{path.name} in the patch's git store is damaged: {problem}") from problem
    return digest.digest()
