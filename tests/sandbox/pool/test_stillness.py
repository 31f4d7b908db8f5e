"""What is heard of a workspace that is watched, and that a look counts only while nothing is."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.pool.looks import SharedLooks
from sandbox.pool.stillness import Stillness
from sandbox.workspace.scan import Scan
from sandbox.workspace.source import HostSource

Change = Callable[[Path], object]


@pytest.fixture
def tree(workspace: Path) -> Path:
    (workspace / "d/e").mkdir(parents=True)
    (workspace / "d/e/f").write_text("one")
    return workspace


@pytest.fixture
def watch(tree: Path) -> Iterator[Stillness]:
    watch = Stillness(os.fsencode(tree), [b"d", b"d/e"])
    yield watch
    watch.close()


def another_root(tree: Path) -> None:
    tree.rename(tree.with_name("before"))
    (tree / "d/e").mkdir(parents=True)


CHANGES: dict[str, Change] = {
    "content": lambda tree: (tree / "d/e/f").write_text("two"),
    "mode": lambda tree: (tree / "d/e/f").chmod(0o755),
    "times": lambda tree: os.utime(tree / "d/e/f", (1, 1)),
    "new file": lambda tree: (tree / "d/new").touch(),
    "new directory": lambda tree: (tree / "d/e/new").mkdir(),
    "new link": lambda tree: (tree / "link").symlink_to("d"),
    "gone": lambda tree: (tree / "d/e/f").unlink(),
    "renamed": lambda tree: (tree / "d/e").rename(tree / "d/other"),
    "came from elsewhere": lambda tree: (tree.parent / "out").rename(tree / "in"),
    "another root": another_root,
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_heard_as_soon_as_it_is_made(what: str, tree: Path, watch: Stillness) -> None:
    (tree.parent / "out").mkdir()
    assert watch.holds()
    CHANGES[what](tree)
    assert not watch.holds()


def test_reading_changes_nothing(tree: Path, watch: Stillness) -> None:
    assert (tree / "d/e/f").read_text() == "one"
    assert sorted(path.name for path in tree.rglob("*")) == ["d", "e", "f"]
    assert watch.holds()


def test_what_cannot_be_watched_is_an_error(tree: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Stillness(os.fsencode(tree), [b"missing"])


def test_a_directory_that_was_replaced_is_watched_anew(tree: Path) -> None:
    looks, source = SharedLooks(), HostSource(tree)
    for _ in range(3):
        looks.look(source)
    (tree / "d/e").rename(tree.parent / "out")
    (tree / "d/e").mkdir()
    before = [looks.look(source).fingerprint for _ in range(3)][-1]
    (tree / "d/e/f").write_text("new")
    assert looks.look(source).fingerprint != before
    looks.forget()


def test_once_something_was_heard_it_is_not_quiet_again(tree: Path, watch: Stillness) -> None:
    (tree / "d/e/f").write_text("two")
    assert [watch.holds() for _ in range(3)] == [False] * 3


class Counted(HostSource):
    """Counts looks."""

    count = 0

    def glance(self) -> Scan:
        type(self).count += 1
        return super().glance()


def test_tasks_one_after_the_other_share_a_look_until_something_changes(tree: Path) -> None:
    Counted.count = 0
    looks, source = SharedLooks(), Counted(tree)
    seen = {looks.look(source).fingerprint for _ in range(20)}
    assert Counted.count < 20
    for what in ("content", "new directory", "gone"):
        CHANGES[what](tree)
        now = looks.look(source).fingerprint
        assert now == HostSource(tree).glance().fingerprint
        assert now not in seen
        seen.add(now)
        assert looks.look(source).fingerprint == now


@pytest.mark.parametrize("what", [name for name in CHANGES if name != "came from elsewhere"])
def test_what_was_changed_before_the_question_is_in_the_answer(what: str, tree: Path) -> None:
    looks, source = SharedLooks(), HostSource(tree)
    before = [looks.look(source).fingerprint for _ in range(3)][-1]
    CHANGES[what](tree)
    assert looks.look(source).fingerprint != before


def test_of_many_workspaces_only_a_few_are_watched(tmp_path: Path) -> None:
    looks = SharedLooks()
    handles = len(os.listdir("/proc/self/fd"))
    for number in range(30):
        folder = tmp_path / str(number)
        folder.mkdir()
        for _ in range(2):
            looks.look(HostSource(folder))
    assert len(os.listdir("/proc/self/fd")) - handles < 10
