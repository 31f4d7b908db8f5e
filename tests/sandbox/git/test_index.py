"""Tracked paths are read out of any index git writes, and out of no hostile one."""

import hashlib
import random
from pathlib import Path

import pytest

from generators.file_trees import user_git
from sandbox.git.index import NAME_LIMIT_BYTES, tracked_blobs


def tracked(data: bytes) -> frozenset[bytes] | None:
    found = tracked_blobs(data)
    return None if found is None else frozenset(found)


def index_of(checkout: Path, *settings: str, version: int) -> bytes:
    user_git(checkout, "init", "-q", *settings)
    for name in ("a", "d/b", "d/b2", "d/e/" + "x" * 200, "with space", "z\u00e9"):
        (checkout / name).parent.mkdir(exist_ok=True, parents=True)
        (checkout / name).write_bytes(b"x")
    user_git(checkout, "add", "-A")
    user_git(checkout, "update-index", "--index-version", str(version))
    if version == 3:
        (checkout / "later").write_bytes(b"")
        user_git(checkout, "add", "-N", "later")
    return (checkout / ".git/index").read_bytes()


def listed(checkout: Path) -> frozenset[bytes]:
    return frozenset(user_git(checkout, "ls-files", "-z").split(b"\0")[:-1])


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("format_", ["sha1", "sha256"])
def test_paths_are_those_that_git_lists(version: int, format_: str, tmp_path: Path) -> None:
    data = index_of(tmp_path, f"--object-format={format_}", version=version)
    assert data[7] == version
    assert tracked(data) == listed(tmp_path)


def test_an_index_without_checksum_is_read(tmp_path: Path) -> None:
    data = index_of(tmp_path, version=2)
    assert tracked(data[:-20] + bytes(20)) == listed(tmp_path)


def test_an_empty_index_tracks_nothing(tmp_path: Path) -> None:
    user_git(tmp_path, "init", "-q")
    user_git(tmp_path, "read-tree", "--empty")
    assert tracked((tmp_path / ".git/index").read_bytes()) == frozenset()


def test_a_conflict_and_a_submodule_count_as_tracked(tmp_path: Path) -> None:
    user_git(tmp_path, "init", "-q")
    blob = user_git(tmp_path, "hash-object", "-w", "--stdin", stdin=b"x").strip()
    rows = [b"100644 %s %d\tboth" % (blob, stage) for stage in (1, 2, 3)]
    rows.append(b"160000 %s 0\tsub" % blob)
    user_git(tmp_path, "update-index", "--index-info", stdin=b"\n".join(rows) + b"\n")
    assert tracked((tmp_path / ".git/index").read_bytes()) == frozenset({b"both", b"sub"})


def test_a_split_index_tells_nothing(tmp_path: Path) -> None:
    index_of(tmp_path, version=2)
    user_git(tmp_path, "update-index", "--split-index")
    assert tracked((tmp_path / ".git/index").read_bytes()) is None


def test_a_sparse_index_tells_nothing(tmp_path: Path) -> None:
    index_of(tmp_path, version=2)
    user_git(tmp_path, "-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "x")
    user_git(tmp_path, "sparse-checkout", "init", "--cone", "--sparse-index")
    assert tracked((tmp_path / ".git/index").read_bytes()) is None


def signed(content: bytes) -> bytes:
    return content + hashlib.sha1(content).digest()


def entry(name: bytes, *, flags: int = 0) -> bytes:
    return bytes(24) + (0o100644).to_bytes(4, "big") + bytes(32) + flags.to_bytes(2, "big") + name


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"DIRC",
        b"DIRC\0\0\0\2\0\0\0\0",
        b"junk" * 100,
        signed(b"DIRC\0\0\0\5\0\0\0\0"),
        signed(b"DIRC\0\0\0\2\xff\xff\xff\xff"),
        signed(b"DIRC\0\0\0\2\0\0\0\1" + entry(b"no end")),
        signed(b"DIRC\0\0\0\2\0\0\0\1" + entry(b"\0" * 10)),
        signed(b"DIRC\0\0\0\2\0\0\0\1" + entry(b"x\0", flags=0x4000)),
        signed(b"DIRC\0\0\0\2\0\0\0\0" + b"TREE\xff\xff\xff\xff"),
        signed(b"DIRC\0\0\0\2\0\0\0\0" + b"next\0\0\0\0"),
        signed(b"DIRC\0\0\0\2\0\0\0\0" + b"TREE"),
        signed(b"DIRC\0\0\0\4\0\0\0\1" + entry(b"\xff\xff\xff\xff\xff\xffa\0")),
        signed(b"DIRC\0\0\0\4\0\0\0\1" + entry(b"\x05a\0")),
    ],
)
def test_what_is_no_index_tells_nothing(content: bytes) -> None:
    assert tracked(content) is None


def test_names_that_grow_without_end_are_refused() -> None:
    """Version 4 shares beginnings: a megabyte could ask for a hundred gigabytes of names."""
    long = b"\0" + b"x" * (NAME_LIMIT_BYTES - 100_0) + b"\0"
    rows = entry(long) + entry(b"\0y\0") * 20_000
    content = signed(b"DIRC\0\0\0\4" + (20_001).to_bytes(4, "big") + rows)
    assert tracked(content) is None


@pytest.mark.parametrize("version", [2, 4])
def test_damage_anywhere_is_survived(version: int, tmp_path: Path) -> None:
    data = index_of(tmp_path, version=version)[:-20]
    dice = random.Random(version)
    seen = set()
    for _ in range(1000):
        damaged = bytearray(data)
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        seen.add(tracked(signed(bytes(damaged[: dice.choice([None, dice.randrange(len(data))])]))))
    assert None in seen
    assert len(seen) > 1
