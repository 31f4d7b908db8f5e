"""A private git store that keeps small objects together, in git's pack format.

For a store that one process fills, has git read, and drops or sets aside: ten thousand changed
files as loose objects are forty thousand files to make and to remove (old, new, lent, applied),
which took longer than all the rest of an export. Owns writing packs and their indexes
(gitformat-pack(5), without deltas) and reading again what was written here. Large objects stay
loose files: those stream, and can be lent by a hard link.
"""

import hashlib
import os
import secrets
import struct
import zlib
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise
from pathlib import Path

from policies.frozen import dataclass
from sandbox.errors import PatchError
from sandbox.git.store import Store, check_announced

SMALL_BYTES = 1 << 20
"""A larger object is a loose file."""
_BUFFER_BYTES = 4 << 20
_PACK_LIMIT_BYTES = 1 << 30
"""How large one pack grows: its index has 31 bits for where an object is."""
_KINDS = {b"commit": 1, b"tree": 2, b"blob": 3}
_BLOB = 3
_TRAILER_BYTES = 20
_HEADER = struct.Struct(">4sII")
_INDEX_MAGIC = b"\xfftOc\0\0\0\x02"
_FANOUT = struct.Struct(">256I")
_NOT_COMPRESSED = 0


@dataclass(frozen=True, slots=True)
class _PackPlace:
    """Where an object is: the number of its pack, and the bytes of its entry there."""

    pack: int
    start: int
    end: int


class PackedStore(Store):
    """A `Store` for very many objects at once. Not for a directory that others write to as well."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._packs: list[Path] = []
        self._places: dict[str, _PackPlace] = {}
        self._growing: _Growing | None = None
        self._folder = self._directory / "objects" / "pack"
        try:
            self._folder.mkdir(exist_ok=True)
            for index in sorted(self._folder.glob("pack-*.idx")):
                self._load(index)
        except (OSError, struct.error, ValueError) as problem:
            raise PatchError(f"the git store in {directory} can't be read: {problem}") from problem

    @property
    def directory(self) -> Path:
        """Where the store is, with everything in it for git to read."""
        self.seal()
        return self._directory

    def seal(self) -> None:
        """Complete the pack that is being written, for whoever opens this directory later."""
        growing, self._growing = self._growing, None
        if growing is not None:
            try:
                growing.close()
            except OSError as problem:
                raise PatchError(f"can't write to the patch's git store: {problem}") from problem

    def lend(self, blob: str, other: Store) -> None:
        """Put a blob of this store into another one too, as cheaply as it goes."""
        place = self._places.get(blob)
        if place is None:
            super().lend(blob, other)
        elif isinstance(other, PackedStore):
            if blob not in other:
                other._append(  # noqa: SLF001 - its own kind
                    blob, self._raw(place), self._sha256.get(blob)
                )
        else:
            size, pieces = self._open(blob)
            other.put(pieces, size)

    def __contains__(self, object_id: str) -> bool:
        return object_id in self._places or super().__contains__(object_id)

    def _open(self, blob: str) -> tuple[int, Iterator[bytes]]:
        place = self._places.get(blob)
        if place is None:
            return super()._open(blob)
        kind, content = self._content(blob, place)
        if kind != _BLOB:
            raise PatchError(f"object {blob} is not a blob.")
        return len(content), iter((content,))

    def _content(self, object_id: str, place: _PackPlace) -> tuple[int, bytes]:
        raw = self._raw(place)
        kind, size, at = _entry_header(raw)
        inflate = zlib.decompressobj()
        try:
            content = inflate.decompress(raw[at:], size + 1)
        except zlib.error as problem:
            raise PatchError(f"blob {object_id} is damaged: {problem}") from problem
        if len(content) != size or not inflate.eof:
            raise PatchError(f"blob {object_id} in the patch's git store is cut short or too long.")
        return kind, content

    def _raw(self, place: _PackPlace) -> bytes:
        self.seal()
        try:
            with self._packs[place.pack].open("rb", buffering=0) as file:
                data = os.pread(file.fileno(), place.end - place.start, place.start)
        except OSError as problem:
            raise PatchError(f"the patch's git store can't be read: {problem}") from problem
        if len(data) != place.end - place.start:
            raise PatchError("a pack of the patch's git store is cut short: it is damaged.")
        return data

    def _write(self, kind: bytes, chunks: Iterable[bytes], size: int) -> str:
        if size > SMALL_BYTES:
            return super()._write(kind, chunks, size)
        content = check_announced(chunks, size)
        header = b"%s %d\0" % (kind, size)
        sha1 = hashlib.sha1(header, usedforsecurity=False)
        sha1.update(content)
        sha256 = hashlib.sha256(header)
        sha256.update(content)
        object_id = sha1.hexdigest()
        if not self._stands(object_id, sha256.digest()):
            body = zlib.compress(content, _NOT_COMPRESSED)
            self._append(object_id, _entry(_KINDS[kind], size) + body, sha256.digest())
        return object_id

    def _sha256_of(self, object_id: str) -> bytes | None:
        place = self._places.get(object_id)
        if place is None:
            return super()._sha256_of(object_id)
        kind, content = self._content(object_id, place)
        name = next(name for name, number in _KINDS.items() if number == kind)
        return hashlib.sha256(b"%s %d\0%s" % (name, len(content), content)).digest()

    # -- packs -----------------------------------------------------------------------------

    def _append(self, object_id: str, entry: bytes, sha256: bytes | None) -> None:
        try:
            if self._growing is None:
                self._growing = _Growing(self._folder)
                self._packs.append(self._growing.file)
            start, end = self._growing.add(object_id, entry)
        except OSError as problem:
            raise PatchError(f"can't write to the patch's git store: {problem}") from problem
        self._places[object_id] = _PackPlace(len(self._packs) - 1, start, end)
        if sha256 is not None:
            self._sha256[object_id] = sha256
        if end > _PACK_LIMIT_BYTES:
            self.seal()

    def _load(self, index: Path) -> None:
        """What an earlier `PackedStore` wrote here: git writes no packs of its own."""
        data = index.read_bytes()
        (count,) = struct.unpack_from(">I", data, len(_INDEX_MAGIC) + 255 * 4)
        at = len(_INDEX_MAGIC) + _FANOUT.size
        names = [data[at + 20 * row : at + 20 * row + 20].hex() for row in range(count)]
        offsets = struct.unpack_from(f">{count}I", data, at + 24 * count)
        pack = index.with_suffix(".pack")
        bounds = [*sorted(offsets), pack.stat().st_size - _TRAILER_BYTES]
        ends = dict(pairwise(bounds))
        self._packs.append(pack)
        number = len(self._packs) - 1
        for name, offset in zip(names, offsets, strict=True):
            self._places[name] = _PackPlace(number, offset, ends[offset])


class _Growing:
    """A pack being written. Holds no open file: it may be dropped at any point."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / f"pack-{secrets.token_hex(20)}.pack"
        self._rows: list[tuple[bytes, int, int]] = []
        """Id, checksum and offset of each object."""
        self._waiting = bytearray(_HEADER.pack(b"PACK", 2, 0))
        self._written = 0

    def add(self, object_id: str, entry: bytes) -> tuple[int, int]:
        """Give where its entry begins and ends."""
        start = self._written + len(self._waiting)
        self._rows.append((bytes.fromhex(object_id), zlib.crc32(entry), start))
        self._waiting += entry
        if len(self._waiting) > _BUFFER_BYTES:
            self._flush()
        return start, start + len(entry)

    def _flush(self) -> None:
        with self.file.open("ab", buffering=0) as out:
            view = memoryview(self._waiting)
            while view:
                view = view[out.write(view) :]
            view.release()
        self._written += len(self._waiting)
        self._waiting = bytearray()

    def close(self) -> None:
        """Complete the pack; its index comes last, for that is what git looks for."""
        self._flush()
        digest = hashlib.sha1(usedforsecurity=False)
        with self.file.open("r+b") as file:
            file.write(_HEADER.pack(b"PACK", 2, len(self._rows)))
            file.seek(0)
            while piece := file.read(_BUFFER_BYTES):
                digest.update(piece)
            file.write(digest.digest())
        index = _index(self._rows, digest.digest())
        self.file.with_suffix(".idx").write_bytes(index)


def _index(rows: list[tuple[bytes, int, int]], pack: bytes) -> bytes:
    rows = sorted(rows)
    counts = [0] * 256
    for name, _, _ in rows:
        counts[name[0]] += 1
    data = b"".join(
        (
            _INDEX_MAGIC,
            _FANOUT.pack(*accumulate(counts)),
            b"".join(name for name, _, _ in rows),
            struct.pack(f">{len(rows)}I", *(checksum for _, checksum, _ in rows)),
            struct.pack(f">{len(rows)}I", *(offset for _, _, offset in rows)),
            pack,
        )
    )
    return data + hashlib.sha1(data, usedforsecurity=False).digest()


def _entry(kind: int, size: int) -> bytes:
    """The head of an object: its type, and its size in groups of bits, the lowest first."""
    byte, size = kind << 4 | size & 15, size >> 4
    head = bytearray()
    while size:
        head.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    head.append(byte)
    return bytes(head)


def _entry_header(raw: bytes) -> tuple[int, int, int]:
    """Type and size of an object, and where its content begins."""
    byte, at = raw[0], 1
    kind, size, shift = byte >> 4 & 7, byte & 15, 4
    while byte & 0x80 and at < len(raw):
        byte = raw[at]
        size |= (byte & 0x7F) << shift
        shift += 7
        at += 1
    return kind, size, at
