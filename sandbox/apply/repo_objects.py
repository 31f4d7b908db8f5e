"""A stranger's repository read without git: its objects and what its branches point to.

Owns git's loose and packed formats (gitformat-pack(5)), as far as reading one object by its id
goes. Everything is the adversary's: sizes are bounded before they are believed, no link is
followed, and whatever comes out has the id that was asked for. Reads no configuration; a
repository that can't be read without its configuration (partial, SHA-256, reftable) is an error.
"""

import hashlib
import os
import re
import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from policies.frozen import dataclass
from sandbox.apply.target import Target
from sandbox.cache import InTheWayError
from sandbox.errors import PatchError

OBJECT_LIMIT_BYTES = 256 << 20
_SMALL_BYTES = 1 << 20
_PIECE_BYTES = 1 << 16
_PACKS_LIMIT = 4096
_CHAIN_LIMIT = 4096
_WORK_LIMIT_BYTES = 8 << 30
_STEP_BYTES = 1024
"""What one step of a delta takes, as if that many bytes were copied."""
_TREE_ENTRIES_LIMIT = 1_000_000
_ID = re.compile(rb"[0-9a-f]{40}")
_KINDS = {1: b"commit", 2: b"tree", 3: b"blob", 4: b"tag"}
_OFS_DELTA, _REF_DELTA = 6, 7
_INDEX_HEADER = b"\xfftOc\0\0\0\x02"
_NAMES_AT = 8 + 256 * 4


@dataclass(frozen=True, slots=True)
class TreeEntry:
    mode: int
    id: str


_Place = Callable[[str, int], tuple[bytes, bytes] | None]
"""Gives what stands under an id in one place, up to a limit."""


class _InflateBudget:
    """All that may be inflated and copied. A pack of some kilobytes can ask for weeks of it."""

    def __init__(self) -> None:
        self.left = _WORK_LIMIT_BYTES

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise PatchError(
                "reading the target's repository takes more work than an honest one asks for."
            )


class Objects:
    """The objects below an open ``.git``, and in the repositories that it borrows from."""

    def __init__(self, git: Target, lenders: Sequence["Objects"] = ()) -> None:
        self._git, self._lenders = git, lenders
        self._packs: list[bytes] | None = None
        self._work = _InflateBudget()

    def commit_tree(self, commit: str) -> str:
        """Id of a commit's tree. Raises `PatchError`, as all here do."""
        data = self.read(commit, b"commit", limit_bytes=_SMALL_BYTES)
        match = re.match(rb"tree ([0-9a-f]{40})\n", data)
        if match is None:
            raise PatchError(f"commit {commit} of the target's repository is damaged.")
        return match[1].decode()

    def tree(self, object_id: str) -> dict[bytes, TreeEntry]:
        """What stands in a tree, by name."""
        data = self.read(object_id, b"tree", limit_bytes=64 << 20)
        found: dict[bytes, TreeEntry] = {}
        at = 0
        while at < len(data):
            space, end = data.find(b" ", at, at + 8), data.find(b"\0", at)
            name = data[space + 1 : end]
            mode = data[at:space]
            cut = space < 0 or end < space or len(data) < end + 21
            too_many = name in found or len(found) > _TREE_ENTRIES_LIMIT
            if cut or too_many or not _is_mode(mode) or not name:
                raise PatchError(f"tree {object_id} of the target's repository is damaged.")
            found[name] = TreeEntry(int(mode, 8), data[end + 1 : end + 21].hex())
            at = end + 21
        return found

    def read(self, object_id: str, kind: bytes, *, limit_bytes: int = OBJECT_LIMIT_BYTES) -> bytes:
        """Content of an object of this kind and id, both checked."""
        if not _ID.fullmatch(object_id.encode()):
            raise PatchError(f"{object_id!r:.60} is not an object id.")
        actual, data = next(self._found(object_id, limit_bytes), (b"", b""))
        if not actual:
            raise PatchError(
                f"object {object_id} is not in the target's own repository, nor in one that it "
                "borrows from and that may be read: it may be a partial clone."
            )
        if actual != kind:
            raise PatchError(f"object {object_id} of the target's repository is damaged.")
        return data

    def check(self, object_id: str) -> None:
        """Raise `PatchError` where anything else stands under this id, in any place.

        git believes a name: who knows what a patch will bring could put other bytes there before.
        """
        for _ in self._found(object_id, OBJECT_LIMIT_BYTES):
            pass

    def _found(self, object_id: str, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """Kind and content, which have this id, from each place where it stands."""
        places: tuple[_Place, ...] = (
            self._loose,
            *(partial(self._read_from, name) for name in self._pack_names()),
        )
        for place in places:
            try:
                found = place(object_id, limit)
            except (OSError, zlib.error, struct.error, IndexError) as problem:
                raise PatchError(
                    f"object {object_id} of the target's repository can't be read: {problem}"
                ) from problem
            if found is None:
                continue
            kind, data = found
            digest = hashlib.sha1(b"%s %d\0" % (kind, len(data)), usedforsecurity=False)
            digest.update(data)
            if digest.hexdigest() != object_id:
                raise PatchError(f"object {object_id} of the target's repository is damaged.")
            yield kind, data
        for lender in self._lenders:
            yield from lender._found(object_id, limit)  # noqa: SLF001 - one of the same

    # -- loose -----------------------------------------------------------------------------

    def _loose(self, object_id: str, limit: int) -> tuple[bytes, bytes] | None:
        path = f"objects/{object_id[:2]}/{object_id[2:]}".encode()
        with self._git.file(path) as file:
            if file is None:
                return None
            data = _inflated(file, 0, limit + 64)
        self._work.spend(len(data))
        header, _, content = data.partition(b"\0")
        kind, _, size = header.partition(b" ")
        if not size.isdigit() or int(size[:20]) != len(content):
            raise PatchError(f"object {object_id} of the target's repository is damaged.")
        return kind, content

    # -- packed ----------------------------------------------------------------------------

    def _pack_names(self) -> list[bytes]:
        if self._packs is None:
            try:
                names = self._git.names(b"objects/pack")
            except (FileNotFoundError, InTheWayError):
                names = []
            packs = sorted(name[:-4] for name in names if name.endswith(b".idx"))
            if len(packs) > _PACKS_LIMIT:
                raise PatchError(f"the target's repository holds more than {_PACKS_LIMIT} packs.")
            self._packs = packs
        return self._packs

    def _read_from(self, name: bytes, object_id: str, limit: int) -> tuple[bytes, bytes] | None:
        base = b"objects/pack/" + name
        with self._git.file(base + b".idx") as index, self._git.file(base + b".pack") as pack:
            if index is None or pack is None:
                return None
            offset = _offset_in(index, bytes.fromhex(object_id))
            return None if offset is None else _unpacked(pack, index, offset, limit, self._work)


def _is_mode(mode: bytes) -> bool:
    return 5 <= len(mode) <= 6 and all(0x30 <= digit < 0x38 for digit in mode)


def _exactly(file: int, count: int, at: int) -> bytes:
    data = os.pread(file, count, at)
    if len(data) != count:
        raise PatchError("a pack of the target's repository is cut short.")
    return data


def _offset_in(index: int, wanted: bytes) -> int | None:
    """Where in its pack an object is, by the pack's index (version 2); None: it is not there."""
    if os.pread(index, 8, 0) != _INDEX_HEADER:
        raise PatchError("a pack index of the target's repository is of an unknown version.")
    total = int.from_bytes(_exactly(index, 4, _NAMES_AT - 4), "big")
    first = wanted[0]
    low = int.from_bytes(_exactly(index, 4, 8 + 4 * (first - 1)), "big") if first else 0
    high = int.from_bytes(_exactly(index, 4, 8 + 4 * first), "big")
    if not low <= high <= total:
        raise PatchError("a pack index of the target's repository is damaged.")

    def name(row: int) -> bytes:
        return _exactly(index, 20, _NAMES_AT + 20 * row)

    row = bisect_left(range(high), wanted, low, key=name)
    if row == high or name(row) != wanted:
        return None
    offset = int.from_bytes(_exactly(index, 4, _NAMES_AT + 24 * total + 4 * row), "big")
    if offset & 0x80000000:
        large = _NAMES_AT + 28 * total + 8 * (offset & 0x7FFFFFFF)
        offset = int.from_bytes(_exactly(index, 8, large), "big")
    return offset


def _unpacked(
    pack: int, index: int, offset: int, limit: int, work: _InflateBudget
) -> tuple[bytes, bytes]:
    """The object at an offset, its deltas applied. The chain is followed by a loop."""
    deltas: list[bytes] = []
    held = 0
    for _ in range(_CHAIN_LIMIT):
        kind, size, at = _object_header(pack, offset)
        if size > limit:
            raise PatchError(f"an object of the target's repository has more than {limit} bytes.")
        work.spend(size)
        if kind in _KINDS:
            data = _inflated(pack, at, size)
            for delta in reversed(deltas):
                data = _patched(data, delta, limit, work)
            return _KINDS[kind], data
        if kind == _OFS_DELTA:
            back, at = _back_offset(pack, at)
            next_offset: int | None = offset - back
        elif kind == _REF_DELTA:
            next_offset = _offset_in(index, _exactly(pack, 20, at))
            at += 20
        else:
            break
        deltas.append(_inflated(pack, at, size))
        held += size
        if next_offset is None or next_offset <= 0 or held > limit:
            break
        offset = next_offset
    raise PatchError("a pack of the target's repository is damaged.")


def _object_header(pack: int, offset: int) -> tuple[int, int, int]:
    data = os.pread(pack, 16, offset)
    byte = data[0]
    kind, size, shift, at = byte >> 4 & 7, byte & 15, 4, 1
    while byte & 0x80:
        byte = data[at]
        size |= (byte & 0x7F) << shift
        shift += 7
        at += 1
    return kind, size, offset + at


def _back_offset(pack: int, at: int) -> tuple[int, int]:
    data = os.pread(pack, 16, at)
    byte, used = data[0], 1
    back = byte & 0x7F
    while byte & 0x80:
        byte = data[used]
        used += 1
        back = (back + 1) << 7 | byte & 0x7F
    return back, at + used


def _inflated(file: int, at: int, limit: int) -> bytes:
    """All of the zlib stream at a place of a file, which must not be longer than the limit."""
    inflate = zlib.decompressobj()
    found = bytearray()
    while not inflate.eof:
        data = inflate.unconsumed_tail
        if not data:
            data = os.pread(file, _PIECE_BYTES, at)
            at += len(data)
        piece = inflate.decompress(data, limit + 1 - len(found))
        found += piece
        if len(found) > limit or (not data and not piece):
            raise PatchError("an object of the target's repository is not as long as it says.")
    return bytes(found)


def _patched(source: bytes, delta: bytes, limit: int, work: _InflateBudget) -> bytes:
    """A delta applied (gitformat-pack(5), "Deltified representation")."""
    source_size, at = _varint(delta, 0)
    target_size, at = _varint(delta, at)
    if source_size != len(source) or target_size > limit:
        raise PatchError("a delta of the target's repository is damaged.")
    out = bytearray()
    while at < len(delta):
        op = delta[at]
        at += 1
        if op & 0x80:
            offset = size = 0
            for bit in range(4):
                if op & 1 << bit:
                    offset |= delta[at] << 8 * bit
                    at += 1
            for bit in range(3):
                if op & 0x10 << bit:
                    size |= delta[at] << 8 * bit
                    at += 1
            piece = source[offset : offset + (size or 0x10000)]
        else:
            piece = delta[at : at + op]
            at += op
        if not piece or len(out) + len(piece) > target_size:
            raise PatchError("a delta of the target's repository is damaged.")
        work.spend(_STEP_BYTES + len(piece))
        out += piece
    if len(out) != target_size:
        raise PatchError("a delta of the target's repository is damaged.")
    return bytes(out)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at
        if shift > 63:
            raise PatchError("a delta of the target's repository is damaged.")
