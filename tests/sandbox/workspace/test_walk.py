"""A large tree's digest: equal only where nothing changed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from policies.kernel.image import Inventory
from policies.loading import load
from sandbox.container.prepared_image import PreparedImage
from sandbox.git.config import PersonalConfig
from sandbox.git.manifest import Manifest, ManifestEntry
from sandbox.workspace import walk
from sandbox.workspace.scan import Scan, content_id, scan
from sandbox.workspace.snapshot import RememberedCopy, SnapshotMemory, recorded, unchanged
from sandbox.workspace.source import HostSource, after_walk
from sandbox.workspace.walk import walk_digest

_OLD_NS = 1_000_000_000 * 10**9


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "deep" / "er").mkdir(parents=True)
    for name in ("a", "deep/b", "deep/er/new\nline", "-dash"):
        (root / name).write_text("one")
    (root / "link").symlink_to("a")
    return root


def _rewritten(root: Path) -> None:
    state = (root / "a").stat()
    (root / "a").write_text("two")
    os.utime(root / "a", ns=(state.st_atime_ns, state.st_mtime_ns))


def _relinked(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("deep")


CHANGES: dict[str, Callable[[Path], object]] = {
    "content, its time put back": _rewritten,
    "a new file": lambda root: (root / "deep" / "c").touch(),
    "one gone": lambda root: (root / "deep" / "b").unlink(),
    "a mode": lambda root: (root / "a").chmod(0o755),
    "a name": lambda root: (root / "a").rename(root / "z"),
    "a link's target": _relinked,
    "an empty folder": lambda root: (root / "deep" / "d").mkdir(),
}


@pytest.fixture
def memory(tmp_path: Path) -> SnapshotMemory:
    inventory = Inventory(programs={}, links={}, directories={}, search_path=())
    image = PreparedImage(id="i", key="k", inventory=inventory, python="python3", environment=())
    rules, personal = load("default").workspace, PersonalConfig()
    return SnapshotMemory(tmp_path / "cache", tmp_path, rules, image, personal=personal)


@pytest.fixture
def kept(memory: SnapshotMemory, tmp_path: Path) -> Callable[[Scan], RememberedCopy]:
    """What is remembered of a copy that was made after such a look."""

    def keep(looked: Scan) -> RememberedCopy:
        entries = {
            path: ManifestEntry(mode=0o100644, blob=content_id(looked, path) or "", size=3)
            for path in looked.racy
        }
        manifest = Manifest(entries=entries, tracked=None, rule_files={})
        memory.keep(looked, recorded(tmp_path / "cache", "key", ()), manifest)
        remembered = memory.recall()
        assert remembered is not None
        return remembered

    return keep


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_shows(tree: Path, change: str) -> None:
    before = walk_digest(tree)
    assert before == walk_digest(tree) != ""
    CHANGES[change](tree)
    assert walk_digest(tree) != before


def test_more_names_than_a_command_line_holds_are_walked(tmp_path: Path) -> None:
    for number in range(400):
        (tmp_path / f"{number}{'n' * 200}").touch()
    before = walk_digest(tmp_path)
    assert before == walk_digest(tmp_path) != ""
    (tmp_path / f"7{'n' * 200}").write_text("new")
    assert walk_digest(tmp_path) != before


def test_a_repository_that_is_a_link_to_no_possible_name_is_walked(tmp_path: Path) -> None:
    (tmp_path / ".git").symlink_to("x" * 400)
    assert walk_digest(tmp_path) != ""


def test_what_can_not_be_told_is_said_by_nothing(tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / ".git").write_text("gitdir: /elsewhere\n")
    assert walk_digest(linked) == ""
    assert walk_digest(tmp_path / "missing") == ""
    assert HostSource(linked).walk() == ""


def test_a_large_tree_is_remembered_by_it_and_one_with_young_files_is_not(
    tree: Path, monkeypatch: pytest.MonkeyPatch, kept: Callable[[Scan], RememberedCopy]
) -> None:
    with HostSource(tree).whole(None) as small:
        assert small.walk == ""
    monkeypatch.setattr(walk, "WORTH_FILES", 3)
    with HostSource(tree).whole(None) as young:
        assert young.racy
        assert kept(young).walk == HostSource(tree).walk() != ""
        assert not kept(young).is_shown_by(HostSource(tree).walk())
    monkeypatch.setattr("sandbox.workspace.scan._RACY_NS", -_OLD_NS)
    with HostSource(tree).whole(None) as looked:
        remembered = kept(looked)
    assert remembered.is_shown_by(HostSource(tree).walk())
    assert not remembered._replace(walk="").is_shown_by("")
    (tree / "a").write_text("two")
    assert not remembered.is_shown_by(HostSource(tree).walk())


def test_a_look_made_before_is_no_walk(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changed between that look and the walk would be in the one and not in the other."""
    monkeypatch.setattr(walk, "WORTH_FILES", 0)
    with HostSource(tree).whole(scan(tree)) as looked:
        assert looked.walk == ""


def test_what_was_young_is_compared_by_content_until_it_is_not_any_more(
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    memory: SnapshotMemory,
    kept: Callable[[Scan], RememberedCopy],
) -> None:
    monkeypatch.setattr(walk, "WORTH_FILES", 3)
    looked = scan(tree)
    remembered = kept(looked)
    assert set(remembered.racy) == {os.fsdecode(path) for path in looked.racy} != set()
    memory.settle(looked, remembered)
    assert memory.recall() == remembered
    monkeypatch.setattr("sandbox.workspace.scan._RACY_NS", -_OLD_NS)
    older = after_walk(walk_digest(tree), scan(tree))
    assert unchanged(older, remembered)
    memory.settle(older, remembered)
    settled = memory.recall()
    assert settled == remembered._replace(racy={}, walk=walk_digest(tree))
    (tree / "a").write_text("two")
    assert not unchanged(scan(tree), settled)


def test_what_another_process_remembers_meanwhile_stays(
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    memory: SnapshotMemory,
    kept: Callable[[Scan], RememberedCopy],
) -> None:
    before = kept(scan(tree))
    (tree / "a").write_text("three")
    of_another = kept(scan(tree))
    _rewritten(tree)
    monkeypatch.setattr("sandbox.workspace.scan._RACY_NS", -_OLD_NS)
    memory.settle(scan(tree), before)
    assert memory.recall() == of_another


def test_a_walk_that_says_nothing_is_replaced_by_one_that_does(
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    memory: SnapshotMemory,
    kept: Callable[[Scan], RememberedCopy],
) -> None:
    """What came and went again in a directory shows in its times, and is no change of the tree."""
    monkeypatch.setattr(walk, "WORTH_FILES", 3)
    monkeypatch.setattr("sandbox.workspace.scan._RACY_NS", -_OLD_NS)
    remembered = kept(after_walk(walk_digest(tree), scan(tree)))
    os.utime(tree / "deep", (1, 1))
    assert walk_digest(tree) != remembered.walk
    looked = after_walk(walk_digest(tree), scan(tree))
    assert unchanged(looked, remembered)
    memory.settle(looked, remembered)
    assert memory.recall() == remembered._replace(walk=walk_digest(tree))
