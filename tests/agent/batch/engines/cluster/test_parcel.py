"""Files that come from another machine lead nowhere but where they are written."""

import os
from pathlib import Path

import pytest

from agent.batch.engines.cluster import parcel
from agent.batch.engines.cluster.parcel import FileTree, read_tree, write_tree
from agent.errors import RecordError


def test_a_tree_arrives_as_it_was_but_for_what_is_no_file(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "steps/deep").mkdir(parents=True)
    (source / "empty").mkdir()
    (source / "run.json").write_bytes(b"{}")
    (source / "run.json").chmod(0o600)
    odd = os.fsencode(source / "steps/deep") + b"/\xff name\n"
    with open(odd, "wb") as file:
        file.write(b"\0odd")
    os.chmod(odd, 0o400)
    (source / "link").symlink_to("/etc/passwd")
    (source / "linked").symlink_to("/etc")
    os.mkfifo(source / "pipe")
    target = tmp_path / "runs/r1"
    write_tree(read_tree(source), target)
    assert read_tree(target) == read_tree(source)
    assert sorted(os.listdir(target)) == ["empty", "run.json", "steps"]
    assert os.listdir(tmp_path / "runs") == ["r1"]  # nothing is left beside it


def test_it_takes_the_place_of_what_stood_there(tmp_path: Path) -> None:
    target = tmp_path / "r1"
    target.mkdir()
    (target / "old").write_text("old")
    write_tree(FileTree(directories=(), files=((b"new", 0o600, b"new"),)), target)
    assert os.listdir(target) == ["new"]


@pytest.mark.parametrize(
    "path",
    [b"../out", b"/etc/out", b"a/../../out", b"", b".", b"a//b", b"a\0b", b"/".join([b"a"] * 65)],
)
def test_a_name_that_leads_out_is_refused_before_anything_is_written(
    tmp_path: Path, path: bytes
) -> None:
    target = tmp_path / "runs/r1"
    for tree in (
        FileTree(directories=(path,), files=()),
        FileTree(directories=(), files=((b"good", 0o600, b""), (path, 0o600, b"bad"))),
    ):
        with pytest.raises(RecordError, match="names what is not in it"):
            write_tree(tree, target)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_stands_for_a_directory_too_leaves_nothing(tmp_path: Path) -> None:
    tree = FileTree(directories=(b"a",), files=((b"a", 0o600, b""),))
    with pytest.raises(RecordError, match="can't be written"):
        write_tree(tree, tmp_path / "r1")
    assert list(tmp_path.iterdir()) == []


def test_no_mode_that_comes_gives_rights_to_others(tmp_path: Path) -> None:
    write_tree(FileTree(directories=(), files=((b"f", 0o6777, b""),)), tmp_path / "r1")
    assert (tmp_path / "r1/f").stat().st_mode & 0o7777 == 0o700


def test_what_is_too_large_stays_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parcel, "MOST_BYTES", 10)
    (tmp_path / "f").write_bytes(b"x" * 11)
    with pytest.raises(RecordError, match="stay where they are"):
        read_tree(tmp_path)
