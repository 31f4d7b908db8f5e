"""What is kept in the cache is read whole or not at all."""

import os
from pathlib import Path

import pytest

from agent.config import environment
from sandbox import cache

VALUES: list[tuple[object, ...]] = [(1, b"two"), ((b"path", 3, "text"), None), ()]


def test_values_are_read_as_they_were_kept(tmp_path: Path) -> None:
    file = tmp_path / "values"
    cache.keep_pieces(file, cache.sealed(VALUES))
    assert list(cache.unsealed(file)) == VALUES


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_what_was_torn_or_touched_is_not_read(tmp_path: Path, share: float) -> None:
    file = tmp_path / "values"
    whole = b"".join(cache.sealed(VALUES))
    at = int(share * (len(whole) - 1))
    for data in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], whole + b"\0"):
        file.write_bytes(data)
        with pytest.raises(ValueError, match="not whole"):
            list(cache.unsealed(file))


def test_a_directory_of_the_users_is_the_one_that_is_named_absolutely_or_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for given, found in (
        ("", tmp_path / ".cache/moonpool"),
        ("relative/cache", tmp_path / ".cache/moonpool"),
        ("~/cache", tmp_path / ".cache/moonpool"),
        ("/elsewhere", Path("/elsewhere/moonpool")),
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert cache.cache_directory(os.environ) == environment.cache_directory() == found


def test_what_is_no_regular_file_is_neither_waited_for_nor_left_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    before = os.listdir("/proc/self/fd")
    for name in ("folder", "link", "pipe", "none"):
        with pytest.raises(OSError, match=r"regular|links|No such"):
            cache.regular_file(tmp_path / name)
    for name in ("file", "link"):
        with cache.regular_file(tmp_path / name, follow=True) as file:
            assert file.read() == b"x"
    assert os.listdir("/proc/self/fd") == before


def test_a_folder_is_reached_by_no_link(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").touch()
    (tmp_path / "a/link").symlink_to("b")
    with cache.folder_below(tmp_path, [b"a", b"b"]) as directory:
        assert os.listdir(directory) == ["file"]
    for name in (b"link", b"b/file"):
        with (
            pytest.raises(cache.InTheWayError) as caught,
            cache.folder_below(tmp_path, [b"a", *name.split(b"/")]),
        ):
            pass
        assert caught.value.path == b"a/" + name
