"""What a review gets of content beside the hunks: enough, and never more than its bounds."""

from pathlib import Path

from sandbox.git.diff import DiffRecord
from sandbox.git.store import NOTHING, Store
from sandbox.patch import values
from sandbox.patch.values import read_sides

COMPARED = frozenset({b"package.json"})


def record(
    store: Store, path: bytes, old: bytes | None, new: bytes | None, *, lines: int | None
) -> DiffRecord:
    blobs = [NOTHING if data is None else store.put([data], len(data)) for data in (old, new)]
    return DiffRecord(
        status="M",
        path=path,
        old_path=None,
        old_mode=0o100644,
        new_mode=0o100644,
        old_blob=blobs[0],
        new_blob=blobs[1],
        added_lines=lines,
        deleted_lines=lines,
    )


def test_both_sides_of_a_manifest_are_kept_whole_and_no_other_text(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    manifest = record(store, b"web/Package.json", b"old", b"new", lines=1)
    other = record(store, b"a.py", b"before", b"after", lines=1)
    kept = read_sides(store, [manifest, other], COMPARED)
    assert {side.start for side in kept.values() if side.whole} == {b"old", b"new"}


def test_of_a_large_binary_only_the_start_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    large = record(store, b"a.bin", None, b"x" * (values.BINARY_LIMIT_BYTES + 1), lines=None)
    (side,) = read_sides(store, [large], COMPARED).values()
    assert (len(side.start), side.size, side.whole) == (
        values.START_BYTES,
        values.BINARY_LIMIT_BYTES + 1,
        False,
    )


def test_all_together_stay_within_their_bound_the_smallest_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    size = values.BINARY_LIMIT_BYTES
    rows = [
        record(store, b"%d" % n, None, b"%02d" % n + b"x" * (size - 2), lines=None)
        for n in range(20)
    ]
    small = record(store, b"package.json", None, b"{}", lines=1)
    kept = read_sides(store, [*rows, small], COMPARED)
    assert sum(len(side.start) for side in kept.values()) <= values.TOGETHER_LIMIT_BYTES
    assert small.new_blob in kept
