"""What is said of an ELF file that lies: an image may hold any file, and is looked through once."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.guest import elf

FARTHEST = (1 << 64) - 1


def number(value: int, size: int = 8) -> bytes:
    return value.to_bytes(size, "little")


def head(*, kind: int = 3, headers_at: int = 64, count: int = 2) -> bytes:
    """The first 64 bytes of a file of 64 bits."""
    start = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + number(kind, 2) + number(62, 2)
    start += number(1, 4) + number(0) + number(headers_at) + number(0) + number(0, 4)
    return start + number(64, 2) + number(56, 2) + number(count, 2) + bytes(6)


def segment(kind: int, offset: int, address: int, length: int) -> bytes:
    row = number(kind, 4) + number(0, 4) + number(offset) + number(address) + number(address)
    return row + number(length) + number(length) + number(0)


def looked_at(path: Path, data: bytes) -> tuple[bool, bool, tuple[bytes, ...]] | None:
    path.write_bytes(data)
    handle = os.open(path, os.O_RDONLY)
    try:
        return elf.look(handle, data[:256])
    finally:
        os.close(handle)


TABLE = number(1) + number(0) + number(5) + number(0x1000) + number(0) + number(0)


def test_a_library_tells_what_it_needs(tmp_path: Path) -> None:
    rows = segment(1, 0, 0x1000 - 400, 1000) + segment(2, 176, 0, len(TABLE))
    data = (head() + rows + TABLE).ljust(400, b"\0") + b"libc.so.6\0"
    assert looked_at(tmp_path / "a", data) == (False, False, (b"libc.so.6",))


@pytest.mark.parametrize(
    "data",
    [
        head(headers_at=FARTHEST),
        head(headers_at=1 << 63),
        head() + segment(2, FARTHEST, 0, 100) + segment(1, 0, 0, 1),
        head() + segment(1, FARTHEST, 0, FARTHEST) + segment(2, 176, 0, len(TABLE)) + TABLE,
    ],
    ids=["headers", "headers below zero", "dynamic section", "names"],
)
def test_a_place_that_no_file_reaches_holds_nothing(tmp_path: Path, data: bytes) -> None:
    found = looked_at(tmp_path / "a", data)
    assert found is not None
    assert not b"".join(found[2])


@given(st.binary(max_size=400))
def test_any_bytes_are_looked_at(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    looked_at(tmp_path_factory.getbasetemp() / "any", head()[:16] + data.ljust(48, b"\0"))
