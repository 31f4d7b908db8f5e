"""What stands at a path, by an engine's tar of it: whole, cut, nothing, or no tar at all."""

from collections.abc import Iterator
from typing import cast

import pytest

from sandbox.engine import tar
from sandbox.engine.docker import Engine
from sandbox.engine.first_member import first_member
from sandbox.errors import EngineError


class OnePath:
    def __init__(self, data: bytes | None) -> None:
        self.data = data

    def get_archive(self, container: str, path: str) -> Iterator[bytes]:
        if self.data is None:
            raise FileNotFoundError(path)
        yield from (self.data[at : at + 100] for at in range(0, len(self.data), 100))


def found(data: bytes | None, limit: int = 1 << 16) -> tuple[bytes, bytes] | None:
    member = first_member(cast("Engine", OnePath(data)), "c", "/x", limit=limit)
    return None if member is None else (member[0].type, member[1])


def test_a_member_is_told_by_its_kind_and_a_file_with_its_content() -> None:
    more = tar.file("x/y", b"more") + tar.END
    assert found(tar.file("x", b"some") + tar.END) == (tar.REGULAR, b"some")
    assert found(tar.directory("x") + more) == (tar.DIRECTORY, b"")
    assert found(tar.link("x", "/etc/shadow") + tar.END) == (tar.SYMLINK, b"")


def test_a_file_is_cut_where_enough_was_read() -> None:
    member = found(tar.file("x", b"s" * 5000) + tar.END, limit=1000)
    assert member is not None
    assert 400 < len(member[1]) < 700


def test_nothing_is_there_or_nothing_that_a_tar_holds() -> None:
    assert found(None) is None
    assert found(tar.END) is None


@pytest.mark.parametrize("data", [b"", b"no tar" * 200])
def test_what_is_no_tar_is_the_engines_failure(data: bytes) -> None:
    with pytest.raises(EngineError, match="/x is no tar"):
        found(data)
