"""A copy of what changed, laid on the last copy of all, is the copy of all of it."""

import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generators.file_trees import World, write_world
from generators.random_file_trees import pairs
from policies.loading import load
from sandbox.git.manifest import Manifest
from sandbox.workspace.difference import FullCopy, difference, keep_full, loaded
from sandbox.workspace.pack import Packer
from sandbox.workspace.scan import Scan, scan
from sandbox.workspace.selection import WHITEOUT, select
from waiting import until

RULES = load("default").workspace
BALLAST = 200_000
Tree = dict[bytes, tuple[object, ...]]


def packer_of(looked: Scan) -> Packer:
    return Packer(looked.root, select(looked, RULES), "")


def members(packer: Packer) -> list[tuple[bytes, tuple[object, ...]]]:
    data = b"".join(packer.stream())
    assert len(data) == packer.size()
    found: list[tuple[bytes, tuple[object, ...]]] = []
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            what = (member.type, member.mode, member.uid, member.mtime, member.linkname)
            content = file.read() if file is not None else b""
            found.append((os.fsencode(member.name), (*what, content)))
    return found


def unpacked(tree: Tree, layer: list[tuple[bytes, tuple[object, ...]]]) -> Tree:
    """As an engine lays a layer on another one."""
    tree = dict(tree)
    said: set[bytes] = set()

    def remove(path: bytes) -> None:
        for each in [one for one in tree if one == path or one.startswith(path + b"/")]:
            del tree[each]

    for path, what in layer:
        above, _, name = path.rpartition(b"/")
        assert not above or above in said, "an engine would make this directory up"
        said.add(path)
        if name.startswith(WHITEOUT):
            remove(above + b"/" + name.removeprefix(WHITEOUT))
            continue
        if not (what[0] == tarfile.DIRTYPE and tree.get(path, (b"",))[0] == tarfile.DIRTYPE):
            remove(path)
        tree[path] = what
    return tree


def full_copy(looked: Scan) -> tuple[FullCopy, Manifest, Tree]:
    packer = packer_of(looked)
    tree = unpacked({}, members(packer))
    copied = {item.path for item in select(looked, RULES).copied}
    full = FullCopy(
        key=packer.key(),
        rows={row[0]: row for row in looked.rows if row[0] in copied},
        young=frozenset(looked.racy),
        added=packer.added,
    )
    return full, packer.manifest(), tree


def copied_again(full: FullCopy, manifest: Manifest, looked: Scan) -> Packer | None:
    packer = packer_of(looked)
    found = difference(
        full, manifest, looked, select(looked, RULES), anew=packer.anew, added=packer.added
    )
    if found is None:
        return None
    packer.lay_on(found)
    return packer


def change(root: Path, old: World, new: World) -> None:
    """From one tree to another by as few steps as that takes."""
    top = os.fsencode(root) + b"/"
    for path in old:
        if old[path] != new.get(path):
            os.unlink(top + path)
            above = os.path.dirname(path)
            while above and not os.listdir(top + above):
                os.rmdir(top + above)
                above = os.path.dirname(above)
    write_world(root, {path: what for path, what in new.items() if old.get(path) != what})


def aged(root: Path) -> Scan:
    """A look that trusts what the file system says."""
    return until(lambda: None if (looked := scan(root)).racy else looked)


@settings(max_examples=60)
@given(trees=pairs(), further=st.data())
def test_a_difference_on_a_copy_is_the_copy_of_all(
    trees: tuple[World, World], further: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("tree")
    (root / "ballast of this test").write_bytes(bytes(BALLAST))
    (root / "rules of this test").mkdir()
    (root / "rules of this test/.gitignore").write_text("*.o\n")
    write_world(root, trees[0])
    full, manifest, tree = full_copy(scan(root))
    before = trees[0]
    for after in (trees[1], further.draw(pairs())[1]):
        change(root, before, after)
        before = after
        looked = scan(root)
        packer = copied_again(full, manifest, looked)
        assert packer is not None
        assert unpacked(tree, members(packer)) == full_copy(looked)[2]
        assert packer.manifest() == full_copy(looked)[1]


@pytest.fixture
def old(workspace: Path) -> Path:
    """A workspace of which the file system's word counts."""
    (workspace / "ballast").write_bytes(bytes(BALLAST))
    for name in ("a", "b", "d/c"):
        (workspace / name).parent.mkdir(exist_ok=True)
        (workspace / name).write_text(f"{name[-1]}\n")
    os.link(workspace / "a", workspace / "hard")
    (workspace / "link").symlink_to("a")
    aged(workspace)
    return workspace


def edit_and_set_the_time_back(root: Path) -> None:
    state = (root / "a").stat()
    (root / "a").write_text("X\n")
    os.utime(root / "a", ns=(state.st_atime_ns, state.st_mtime_ns))


def put_another_in_its_place(root: Path) -> None:
    state = (root / "b").stat()
    (root / "new").write_text("X\n")
    os.utime(root / "new", ns=(state.st_atime_ns, state.st_mtime_ns))
    (root / "new").rename(root / "b")


def write_through_the_other_name(root: Path) -> None:
    (root / "hard").write_text("X\n")


def swap(root: Path) -> None:
    (root / "a").rename(root / "x")
    (root / "b").rename(root / "a")
    (root / "x").rename(root / "b")


def lead_elsewhere(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("b")


def make_a_link_of_a_folder(root: Path) -> None:
    (root / "d").rename(root / "e")
    (root / "d").symlink_to("e")


def close_a_folder(root: Path) -> None:
    (root / "d").chmod(0o700)


def make_executable(root: Path) -> None:
    (root / "d/c").chmod(0o755)


@pytest.mark.slow
@pytest.mark.parametrize(
    "act",
    [
        edit_and_set_the_time_back,
        put_another_in_its_place,
        write_through_the_other_name,
        swap,
        lead_elsewhere,
        make_a_link_of_a_folder,
        close_a_folder,
        make_executable,
    ],
)
def test_no_change_hides_behind_what_stays_alike(old: Path, act) -> None:  # type: ignore[no-untyped-def]
    full, manifest, tree = full_copy(scan(old))
    assert not full.young
    act(old)
    looked = scan(old)
    packer = copied_again(full, manifest, looked)
    assert packer is not None
    layer = members(packer)
    assert b"workspace/ballast" not in dict(layer)
    assert unpacked(tree, layer) == full_copy(looked)[2] != tree
    assert packer.manifest() == full_copy(looked)[1]


def test_what_was_written_in_the_tick_of_the_look_is_compared_by_content(workspace: Path) -> None:
    (workspace / "ballast").write_bytes(bytes(BALLAST))
    (workspace / "a").write_text("1\n")
    looked = scan(workspace)
    full, manifest, _ = full_copy(looked)
    assert b"a" in full.young
    # As if nothing but the content had changed: what a coarse clock shows of a quick second write.
    (workspace / "a").write_text("2\n")
    again = scan(workspace)
    full = replace(full, rows={row[0]: row for row in again.rows})
    packer = copied_again(full, manifest, again)
    assert packer is not None
    assert b"workspace/a" in dict(members(packer))
    assert packer.manifest().entries[b"a"] != manifest.entries[b"a"]


def test_what_was_young_and_is_found_unchanged_is_looked_into_once(workspace: Path) -> None:
    (workspace / "ballast").write_bytes(bytes(BALLAST))
    full, manifest, _ = full_copy(scan(workspace))
    assert full.young == {b"ballast"}
    looked = aged(workspace)
    found = difference(full, manifest, looked, select(looked, RULES), anew=(), added=frozenset())
    assert found is not None
    assert found.young == frozenset()
    assert b"ballast" in found.same


def test_much_that_changed_is_copied_with_the_rest(workspace: Path) -> None:
    (workspace / "a").write_bytes(bytes(BALLAST))
    full, manifest, _ = full_copy(scan(workspace))
    (workspace / "b").write_bytes(bytes(2 * BALLAST))
    assert copied_again(full, manifest, scan(workspace)) is None


def test_a_copy_that_held_something_of_ours_is_no_base_for_one_that_does_not(
    workspace: Path,
) -> None:
    (workspace / "ballast").write_bytes(bytes(BALLAST))
    looked = scan(workspace)
    full, manifest, _ = full_copy(looked)
    assert copied_again(replace(full, added=frozenset({b".git/x"})), manifest, looked) is None


def test_what_is_remembered_is_read_back_or_nothing_is(workspace: Path, tmp_path: Path) -> None:
    (workspace / "a\udcff").write_text("1\n")
    full, _, _ = full_copy(scan(workspace))
    file = tmp_path / "full"
    keep_full(file, full.rows.values(), key=full.key, young=full.young, added=full.added)
    assert loaded(file) == full
    data = file.read_bytes()
    for torn in (b"", data[:10], data[:-1], data + b"x", bytes(len(data))):
        file.write_bytes(torn)
        assert loaded(file) is None
    file.unlink()
    assert loaded(file) is None


@pytest.mark.slow
def test_a_file_that_goes_takes_nothing_else_with_it(old: Path) -> None:
    going = [old / "d" / name for name in ("n" * 255, ".opq", ".wh", "new\nline", "latin\udce9")]
    for file in going:
        file.write_text("x\n")
    full, manifest, tree = full_copy(aged(old))
    for file in going:
        file.unlink()
    packer = copied_again(full, manifest, scan(old))
    assert packer is not None
    assert unpacked(tree, members(packer)) == full_copy(scan(old))[2]
