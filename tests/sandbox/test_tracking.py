"""Steps of a real container: each tells what its commands changed, and together all of it."""

from pathlib import Path

import pytest

from conftest import OpenBox
from sandbox import tracking
from sandbox.git.manifest import EXECUTABLE, FILE, SYMLINK, ManifestEntry
from sandbox.git.store import Store
from sandbox.tracking import Step


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "steps"


def content(store: Path, step: Step) -> dict[bytes, tuple[int, bytes] | None]:
    kept = Store(store)

    def said(entry: ManifestEntry | None) -> tuple[int, bytes] | None:
        return None if entry is None else (entry.mode, kept.read_bytes(entry.blob))

    assert step.unfollowed is None
    return {path: said(entry) for path, entry in step.changed.items()}


def test_each_step_tells_what_changed_since_the_one_before(
    workspace: Path, open_box: OpenBox, store: Path
) -> None:
    (workspace / "a").write_text("a\n")
    (workspace / "d").mkdir()
    (workspace / "d/b").write_text("b\n")
    (workspace / ".gitignore").write_text("ignored\n")
    box = open_box()
    assert box.checkpoint(store).changed == {}
    box.run("echo 1 >> a; echo new > n; echo x > ignored")
    assert content(store, box.checkpoint(store)) == {
        b"a": (FILE, b"a\n1\n"),
        b"n": (FILE, b"new\n"),
    }
    assert box.checkpoint(store).changed == {}
    box.run("chmod +x n; rm d/b; ln -s a l")
    assert content(store, box.checkpoint(store)) == {
        b"n": (EXECUTABLE, b"new\n"),
        b"d/b": None,
        b"l": (SYMLINK, b"a"),
    }
    box.run("mv n d/n; rm l; printf 'a\\n' > a; echo b > d/b")
    assert content(store, box.checkpoint(store)) == {
        b"n": None,
        b"d/n": (EXECUTABLE, b"new\n"),
        b"l": None,
        b"a": (FILE, b"a\n"),
        b"d/b": (FILE, b"b\n"),
    }
    # What is as it was at the start is not in the patch, whatever steps led there.
    assert [change.path for change in box.export().changes] == [b"d/n"]


def test_looking_changes_no_mode(open_box: OpenBox, store: Path) -> None:
    box = open_box()
    box.run("echo x > secret; chmod 000 secret")
    assert content(store, box.checkpoint(store)) == {b"secret": (FILE, b"x\n")}
    assert box.run("stat -c %a secret").stdout == b"0\n"


def test_a_running_process_is_not_ended_by_it(open_box: OpenBox, store: Path) -> None:
    box = open_box()
    background = box.start("while :; do echo x >> log; done")
    assert box.checkpoint(store).unfollowed is None
    assert box.poll(background).exit_code is None


def test_too_much_at_once_is_said_and_not_followed(
    open_box: OpenBox, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "STEP_LIMIT_FILES", 10)
    monkeypatch.setattr(tracking, "FILE_LIMIT_BYTES", 1000)
    box = open_box()
    box.run("for i in $(seq 11); do echo $i > f$i; done")
    assert "11 files changed at once" in str(box.checkpoint(store).unfollowed)
    box.run("rm f*; head -c 1001 /dev/zero > large; echo x > small")
    step = box.checkpoint(store)
    assert set(step.changed) == {b"small"}
    assert "too large" in str(step.unfollowed)


def test_a_store_that_cant_be_made_gives_a_step_that_says_so(
    open_box: OpenBox, store: Path
) -> None:
    store.write_text("in the way")
    box = open_box()
    box.run("echo x > a")
    assert "can't make a git store" in str(box.checkpoint(store).unfollowed)


def test_a_lost_container_gives_a_step_that_tells_nothing(open_box: OpenBox, store: Path) -> None:
    box = open_box()
    box.run("echo x > a")
    box.close()
    step = box.checkpoint(store)
    assert step.changed == {}
    assert step.unfollowed
