"""The private store keeps content under git's ids, and nothing of the host gets into it."""

import hashlib
import os
import zlib
from pathlib import Path

import pytest

from generators.file_trees import user_git
from sandbox.errors import CollisionError, PatchError
from sandbox.export.baseline_files import collided
from sandbox.git.manifest import FILE, ManifestEntry, blob_id
from sandbox.git.pack import SMALL_BYTES, PackedStore
from sandbox.git.run import run_git
from sandbox.git.store import Store
from sandbox.patch.values import LeftOutKind


def test_content_comes_back_under_the_id_that_git_gives_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    content = os.urandom(3_000_000)
    blob = store.put((content[:1], content[1:2_000_000], content[2_000_000:]), len(content))
    assert blob == blob_id(content)
    assert b"".join(store.read(blob)) == content == store.read_bytes(blob)
    assert store.size(blob) == len(content)
    assert run_git(store.directory, ("cat-file", "blob", blob)) == content


def test_the_empty_blob_comes_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert store.read_bytes(store.put((), 0)) == b""


@pytest.mark.parametrize("size", [0, 4, 6, 1 << 40])
def test_another_size_than_announced_is_refused(size: int, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(PatchError, match=f"a file of {size} bytes was announced"):
        store.put((b"he", b"llo"), size)
    assert not [path for path in (tmp_path / "store/objects").rglob("*") if path.is_file()]


def test_a_stream_that_never_ends_is_left_at_the_announced_size(tmp_path: Path) -> None:
    def endless() -> object:
        while True:
            yield b"x" * 100

    with pytest.raises(PatchError, match="announced"):
        Store(tmp_path / "store").put(endless(), 1000)  # type: ignore[arg-type]


def test_a_second_content_for_an_id_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    blob = store.put((b"reviewed",), 8)
    # What a collision looks like from outside: the id is taken, the content is not the same.
    path = tmp_path / "store/objects" / blob[:2] / blob[2:]
    path.unlink()
    path.write_bytes(zlib.compress(b"blob 9\0delivered"))
    with pytest.raises(PatchError, match="collision"):
        Store(tmp_path / "store").put((b"reviewed",), 8)


def test_the_same_content_twice_is_no_collision(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert store.put((b"x",), 1) == store.put((b"x",), 1)
    assert Store(tmp_path / "store").put((b"x",), 1) == blob_id(b"x")


def test_an_object_that_expands_without_end_is_not_read(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    blob = "ab" + "0" * 38
    path = tmp_path / "store/objects/ab"
    path.mkdir()
    (path / ("0" * 38)).write_bytes(zlib.compress(b"blob 5\0" + b"x" * 50_000_000))
    with pytest.raises(PatchError, match="too long"):
        store.read_bytes(blob)
    (path / ("0" * 38)).chmod(0o644)
    (path / ("0" * 38)).write_bytes(zlib.compress(b"blob 50000000\0" + b"x" * 50_000_000))
    with pytest.raises(PatchError, match="larger than the limit"):
        store.read_bytes(blob, limit_bytes=1000)


@pytest.mark.parametrize(
    "damage", [b"", b"junk", zlib.compress(b"blob 5\0hello")[:-8], zlib.compress(b"tree 0\0")]
)
def test_a_damaged_object_is_an_error_that_says_so(damage: bytes, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "store/objects/ab").mkdir()
    (tmp_path / "store/objects/ab" / ("0" * 38)).write_bytes(damage)
    with pytest.raises(PatchError, match=r"damaged|not a blob|cut short"):
        store.read_bytes("ab" + "0" * 38)


@pytest.mark.parametrize("name", ["", "x" * 40, "../../../etc/passwd", "A" * 40, "0" * 39])
def test_what_is_no_object_id_is_never_a_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(PatchError, match="not an object id"):
        Store(tmp_path / "store").read_bytes(name)


def test_the_store_holds_only_what_we_wrote(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    found = sorted(str(path.relative_to(store.directory)) for path in store.directory.rglob("*"))
    assert found == ["HEAD", "config", "objects", "refs"]
    assert store.directory.stat().st_mode & 0o077 == 0
    assert user_git(tmp_path, "--git-dir", str(store.directory), "fsck", "--no-dangling") == b""


def test_blobs_are_lent_to_another_store(tmp_path: Path) -> None:
    store, other = Store(tmp_path / "a"), Store(tmp_path / "b")
    blob = store.put((b"x",), 1)
    assert blob not in other
    store.lend(blob, other)
    store.lend(blob, other)
    assert other.read_bytes(blob) == b"x"


def test_a_store_that_cant_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PatchError, match="can't make a git store"):
        Store(tmp_path / "file")


def test_ids_do_not_depend_on_usedforsecurity() -> None:
    assert blob_id(b"") == hashlib.sha1(b"blob 0\0").hexdigest()


def test_packed_content_comes_back_from_us_from_git_and_later(tmp_path: Path) -> None:
    store = PackedStore(tmp_path / "store")
    contents = [b"", b"x", os.urandom(15), os.urandom(16), os.urandom(70_000)]
    contents += [b"small\n" * number for number in range(300)]
    contents += [os.urandom(SMALL_BYTES), os.urandom(SMALL_BYTES + 1)]
    blobs = {store.put((content[:3], content[3:]), len(content)): content for content in contents}
    assert store.put_tree(b"") == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    assert all(blob_id(content) == blob for blob, content in blobs.items())
    for found in (store, PackedStore(store.directory)):
        for blob, content in blobs.items():
            assert blob in found
            assert found.read_bytes(blob) == content
            assert found.size(blob) == len(content)
            assert found.put((content,), len(content)) == blob
    for blob, content in blobs.items():
        assert run_git(store.directory, ("cat-file", "blob", blob)) == content
    user_git(tmp_path, "--git-dir", str(store.directory), "fsck", "--full", "--no-dangling")
    assert len([path for path in store.directory.rglob("*") if path.is_file()]) < 8


def test_packed_blobs_are_lent_to_stores_of_both_kinds(tmp_path: Path) -> None:
    store = PackedStore(tmp_path / "a")
    contents = [b"", b"x", os.urandom(SMALL_BYTES + 1)]
    blobs = [store.put((content,), len(content)) for content in contents]
    for other in (PackedStore(tmp_path / "b"), Store(tmp_path / "c")):
        for blob, content in zip(blobs, contents, strict=True):
            store.lend(blob, other)
            store.lend(blob, other)
            assert other.read_bytes(blob) == content
            assert run_git(other.directory, ("cat-file", "blob", blob)) == content


def test_a_second_content_for_a_packed_id_is_refused(tmp_path: Path) -> None:
    store = PackedStore(tmp_path / "store")
    blob = blob_id(b"reviewed")
    loose = store.directory / "objects" / blob[:2]
    loose.mkdir()
    (loose / blob[2:]).write_bytes(zlib.compress(b"blob 9\0delivered"))
    with pytest.raises(CollisionError):
        store.put((b"reviewed",), 8)


def test_a_damaged_pack_is_an_error_that_says_so(tmp_path: Path) -> None:
    store = PackedStore(tmp_path / "store")
    blob = store.put((b"x" * 100,), 100)
    pack = next((store.directory / "objects/pack").glob("*.pack"))
    whole = pack.read_bytes()
    for damaged in (whole[:60], whole[:20] + b"\xff" * 30 + whole[50:], b""):
        pack.write_bytes(damaged)
        with pytest.raises(PatchError, match=r"damaged|cut short"):
            store.read_bytes(blob)
    next((store.directory / "objects/pack").glob("*.idx")).write_bytes(b"\xfftOc")
    with pytest.raises(PatchError, match="can't be read"):
        PackedStore(tmp_path / "store")


def test_a_file_with_the_id_of_what_it_replaces_and_another_content_is_told(
    tmp_path: Path,
) -> None:
    (tmp_path / "w").mkdir()
    for name in ("same", "other"):
        (tmp_path / "w" / name).write_bytes(name.encode())
    store = PackedStore(tmp_path / "store")
    entries = {name: ManifestEntry(FILE, blob_id(name), len(name)) for name in (b"same", b"other")}
    store.put((b"same",), 4)
    # What came out of the container: the id of `other`, and not its content.
    loose = store.directory / "objects" / entries[b"other"].blob[:2]
    loose.mkdir()
    (loose / entries[b"other"].blob[2:]).write_bytes(zlib.compress(b"blob 5\0swapt"))
    engine, snapshot = None, None  # only for files that the host has changed meanwhile
    found = collided(engine, snapshot, store, entries, tmp_path / "w")  # type: ignore[arg-type]
    assert [(item.path, item.kind) for item in found] == [(b"other", LeftOutKind.COLLISION)]
