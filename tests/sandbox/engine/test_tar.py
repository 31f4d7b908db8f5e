"""The tar that carries a workspace into its container, read back by another implementation."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.engine import tar


def members(data: bytes) -> list[tarfile.TarInfo]:
    whole = io.BytesIO(data + tar.END)
    with tarfile.open(fileobj=whole, encoding="utf-8", errors="surrogateescape") as archive:
        return archive.getmembers()


def only(data: bytes) -> tarfile.TarInfo:
    (member,) = members(data)
    return member


def name_of(member: tarfile.TarInfo) -> bytes:
    return member.name.encode("utf-8", "surrogateescape")


# Without a slash at the end, which the reader takes off.
NAMES = st.binary(min_size=1, max_size=400).filter(
    lambda name: b"\0" not in name and name[-1:] != b"/"
)


@given(NAMES, st.binary(max_size=1200), st.integers(0, 0o777), st.integers(-(1 << 40), 1 << 40))
def test_a_file_is_read_back(name: bytes, data: bytes, mode: int, mtime: int) -> None:
    head = tar.header(name, kind=tar.REGULAR, mode=mode, size=len(data), mtime=mtime, uid=1000)
    whole = head + data + tar.padding(len(data)) + tar.END
    assert len(whole) % 512 == 0
    with tarfile.open(
        fileobj=io.BytesIO(whole), encoding="utf-8", errors="surrogateescape"
    ) as archive:
        (member,) = archive.getmembers()
        file = archive.extractfile(member)
        assert file is not None
        assert file.read() == data
    assert (name_of(member), member.isreg(), member.mode) == (name, True, mode)
    assert (member.uid, member.gid) == (1000, 1000)
    assert member.mtime == min(max(mtime, 0), 8**11 - 1)


@pytest.mark.parametrize("length", [1, 99, 100, 101, 255, 511, 512, 4095])
def test_names_of_any_length_are_whole(length: int) -> None:
    name = b"d/" + b"n" * length
    assert name_of(only(tar.header(name, kind=tar.REGULAR))) == name


@pytest.mark.parametrize("target", [b"x", b"../" * 60 + b"y", b"/etc/passwd", b"\xff\xfe"])
def test_a_link_keeps_its_target(target: bytes) -> None:
    member = only(tar.header(b"a" * 150, kind=tar.SYMLINK, target=target))
    assert member.issym()
    assert member.linkname.encode("utf-8", "surrogateescape") == target
    assert name_of(member) == b"a" * 150


def test_a_directory_is_one() -> None:
    member = only(tar.header(b"d" * 120 + b"/", kind=tar.DIRECTORY, mode=0o700))
    assert (member.isdir(), name_of(member)) == (True, b"d" * 120)


@pytest.mark.parametrize("size", [(1 << 33) - 1, 1 << 33, 1 << 40])
def test_a_size_of_many_gigabytes_is_read_back(size: int) -> None:
    head = tar.header(b"large", kind=tar.REGULAR, size=size)
    assert tarfile.TarInfo.frombuf(head, "utf-8", "strict").size == size


@pytest.mark.parametrize("mtime", [-1, -(1 << 62), 8**11 - 1, 8**11, 32_503_680_000, 1 << 62])
def test_a_time_that_has_no_room_moves_no_other_field(mtime: int) -> None:
    head = tar.header(b"name", kind=tar.SYMLINK, target=b"target", mtime=mtime)
    assert len(head) == 512
    member = only(head)
    assert (name_of(member), member.linkname, member.issym()) == (b"name", "target", True)


def test_a_name_that_looks_like_a_header_is_only_a_name() -> None:
    hostile = tar.header(b"etc/passwd", kind=tar.REGULAR, size=0).replace(b"\0", b"0")
    found = members(tar.header(hostile, kind=tar.REGULAR))
    assert [name_of(member) for member in found] == [hostile]


def test_what_is_cleared_loses_what_stood_there_before_it_is_a_directory() -> None:
    first, second = members(tar.cleared("/a/b", mode=0o1777, uid=1000))
    assert (first.name, first.isreg(), first.size) == ("a/b", True, 0)
    assert (second.name, second.isdir(), second.mode, second.uid) == ("a/b", True, 0o1777, 1000)
