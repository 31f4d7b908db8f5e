"""File operations of the guest, without a container."""

import os
import tracemalloc
from pathlib import Path

import pytest

from sandbox.guest import files


def test_a_file_of_the_kernel_is_read_though_its_size_is_nothing() -> None:
    data, size = files.read(b"/proc/self/status", 0, 1 << 16)
    assert (data[:5], size) == (b"Name:", 0)


def test_a_small_file_takes_no_more_memory_than_it_has(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    name = os.fsencode(tmp_path / "a")
    tracemalloc.start()
    try:
        assert files.read(name, 4, 1 << 24) == (b"456789", 10)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000
    assert files.read(name, 10, 5) == (b"", 10)
    assert files.read(name, 2, 3) == (b"234", 10)


def test_a_write_makes_what_is_above_and_leaves_nothing_of_what_was_there(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path / "a" / "b" / "c")
    files.write(name, b"longer than the next", append=False, overwrite=True)
    files.write(name, b"short", append=False, overwrite=True)
    files.write(name, b"er", append=True, overwrite=True)
    assert (tmp_path / "a" / "b" / "c").read_bytes() == b"shorter"
    with pytest.raises(FileExistsError):
        files.write(name, b"", append=False, overwrite=False)


def test_a_later_piece_of_a_file_that_is_gone_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.write(os.fsencode(tmp_path / "a" / "b"), b"x", append=True, overwrite=True)
    assert not list(tmp_path.iterdir())


def test_a_link_to_nowhere_stays_an_error(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "no" / "where")
    with pytest.raises(FileNotFoundError):
        files.write(os.fsencode(tmp_path / "link"), b"x", append=False, overwrite=True)
    assert not (tmp_path / "no").exists()


def test_below_a_file_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"kept")
    for name in ("a/b", "a/b/c"):
        with pytest.raises(NotADirectoryError):
            files.write(os.fsencode(tmp_path / name), b"x", append=False, overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"kept"
