"""What an ELF file says of itself: whether it starts alone, and which libraries it needs.

Source of names and numbers: elf.h, the System V gABI.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

MAGIC = b"\x7fELF"
_ET_EXEC = 2
_ET_DYN = 3
_PT_LOAD = 1
_PT_DYNAMIC = 2
_PT_INTERP = 3
_DT_NEEDED = 1
_DT_STRTAB = 5
_DT_FLAGS_1 = 0x6FFFFFFB
_DF_1_PIE = 0x08000000
_HEADERS = 64
_TABLE_BYTES = 1 << 16
_NEEDS = 256
_NAME_BYTES = 256


class _Reader:
    """Numbers in the file's own width and order."""

    def __init__(self, head: bytes) -> None:
        self.wide = head[4] == 2
        self.word = 8 if self.wide else 4
        self._order: Literal["little", "big"] = "little" if head[5] == 1 else "big"

    def number(self, source: bytes, at: int, size: int) -> int:
        return int.from_bytes(source[at : at + size], self._order)


def look(handle: int, head: bytes) -> tuple[bool, bool, tuple[bytes, ...]] | None:
    """Whether an ELF file is a program, whether it starts, and what it needs; None: no, and no.

    A program, which no other can load: its position is fixed, or it is marked as a PIE. What names
    a loader starts too, and can be a library all the same (libc prints its version).
    """
    reader = _Reader(head)
    number, word = reader.number, reader.word
    kind = number(head, 16, 2)
    if kind not in (_ET_EXEC, _ET_DYN):
        return None
    start = number(head, 32, 8) if reader.wide else number(head, 28, 4)
    at = 54 if reader.wide else 42
    size, count = number(head, at, 2), min(number(head, at + 2, 2), _HEADERS)
    headers = _read(handle, size * count, start)
    starts = False
    loads = []
    table = b""
    for at in range(0, len(headers), size or 1):
        segment = number(headers, at, 4)
        offset, address, _, length = (number(headers, at + word * n, word) for n in range(1, 5))
        if segment == _PT_INTERP:
            starts = True
        elif segment == _PT_LOAD:
            loads.append((address, offset, length))
        elif segment == _PT_DYNAMIC:
            table = _read(handle, min(length, _TABLE_BYTES), offset)
    flags, strings, names = _dynamic(reader, table)
    needs = []
    for address, offset, length in loads:
        if address <= strings < address + length:
            base = strings - address + offset
            needs = [_read(handle, _NAME_BYTES, base + n).split(b"\0", 1)[0] for n in names]
            break
    program = kind == _ET_EXEC or bool(flags & _DF_1_PIE)
    return program, program or starts, tuple(needs)


def _read(handle: int, count: int, offset: int) -> bytes:
    """What stands there; nothing where no file reaches, which may be far past what a call takes."""
    try:
        return os.pread(handle, count, offset)
    except (OSError, OverflowError):
        return b""


def _dynamic(reader: _Reader, table: bytes) -> tuple[int, int, list[int]]:
    """What the dynamic section says: flags, address of the names, and where among them the needs
    are."""
    flags = 0
    strings = -1
    names: list[int] = []
    for at in range(0, len(table) - reader.word, 2 * reader.word):
        tag = reader.number(table, at, reader.word)
        value = reader.number(table, at + reader.word, reader.word)
        if tag == 0:
            break
        if tag == _DT_NEEDED and len(names) < _NEEDS:
            names.append(value)
        elif tag == _DT_STRTAB:
            strings = value
        elif tag == _DT_FLAGS_1:
            flags = value
    return flags, strings, names
