"""Entries in rows of bytes are the entries that were put in."""

from hypothesis import given
from hypothesis import strategies as st

from sandbox.git.manifest import EXECUTABLE, FILE, SYMLINK, ManifestEntries, ManifestEntry

entry = st.builds(
    ManifestEntry,
    st.sampled_from([FILE, EXECUTABLE, SYMLINK]),
    st.binary(min_size=20, max_size=20).map(bytes.hex),
    st.integers(0, 2**63),
)
worlds = st.dictionaries(st.binary(min_size=1, max_size=9), entry, max_size=9)


@given(world=worlds, count=st.integers(1, 4))
def test_entries_are_what_was_put_in(world: dict[bytes, ManifestEntry], count: int) -> None:
    entries = ManifestEntries.of(world)
    again = ManifestEntries()
    for paths, rows in entries.pieces(count):
        again.extend(paths, rows)
    assert dict(entries) == dict(again) == world
    assert list(again) == list(world)
    assert b"a path that is too long to be there" not in again


@given(world=worlds, chosen=st.data())
def test_a_part_is_what_was_chosen(
    world: dict[bytes, ManifestEntry], chosen: st.DataObject
) -> None:
    paths = chosen.draw(st.sets(st.sampled_from(sorted(world)))) if world else set()
    part = ManifestEntries.of(world).only({*paths, b"a path that is too long to be there"})
    assert part == {path: world[path] for path in paths}


def test_what_is_added_later_is_found() -> None:
    entries = ManifestEntries()
    entries.add(b"a", FILE, bytes(20), 1)
    assert b"b" not in entries
    entries.add(b"b", EXECUTABLE, bytes(20), 2)
    assert entries[b"b"] == ManifestEntry(EXECUTABLE, "0" * 40, 2)
