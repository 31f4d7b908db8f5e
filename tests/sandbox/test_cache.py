"""What is kept in the cache is read whole or not at all."""

from pathlib import Path

import pytest

from agent.preparation import environment
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
    for given in ("", "relative/cache", "~/cache"):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert cache.cache_directory() == tmp_path / ".cache/moonpool"
        assert environment.cache_directory() == cache.cache_directory()
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache.cache_directory() == Path("/elsewhere/moonpool")
    assert environment.cache_directory() == cache.cache_directory()
