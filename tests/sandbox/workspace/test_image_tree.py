"""The engine's tar of a folder of an image, looked at as one of the host is."""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from images.setup.inputs import read_inputs
from policies.loading import load
from policies.policy import Policy
from sandbox.errors import WorkspaceError
from sandbox.workspace.image_tree import ImageTree
from sandbox.workspace.scan import Scan
from sandbox.workspace.selection import select
from sandbox.workspace.source import ImageFolder

FILES = {
    "requirements.txt": b"a==1\n",
    "req/dev.txt": b"b==1\n",
    "req/deep/more.txt": b"c==1\n",
    ".git/x.txt": b"no\n",
    "empty": b"",
}


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, target, 0o755
    return made


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[io.BufferedRandom]:
    with (tmp_path / "spool").open("w+b") as file:
        yield file


def tree(spool: io.BufferedRandom, *more: tarfile.TarInfo) -> ImageTree:
    with tarfile.open(fileobj=spool, mode="w:") as tar:
        tar.addfile(member("testbed/", tarfile.DIRTYPE))
        for name, data in FILES.items():
            row = member(f"testbed/{name}")
            row.size = len(data)
            tar.addfile(row, io.BytesIO(data))
        for row in more:
            tar.addfile(row)
    spool.seek(0)
    return ImageTree(ImageFolder("/testbed"), spool)


def test_files_links_and_second_names(spool: io.BufferedRandom) -> None:
    made = tree(
        spool,
        member("testbed/hard", tarfile.LNKTYPE, "testbed/req/dev.txt"),
        member("testbed/link", tarfile.SYMTYPE, "/etc/passwd"),
        member("testbed/pipe", tarfile.FIFOTYPE),
        member("testbed/n\udcff", tarfile.DIRTYPE),
    )
    for name, data in {**FILES, "hard": FILES["req/dev.txt"]}.items():
        with made.open_file(name.encode()) as file:
            assert file.read(1) + file.read() + file.read() == data
            assert file.seek(0, io.SEEK_END) == len(data)
    assert made.read_link(b"link") == b"/etc/passwd"
    assert b"n\xff" in {row.path for row in made.rows}
    for path in (b"link", b"pipe", b"nothing", b"../spool", b"/etc/passwd"):
        with pytest.raises(FileNotFoundError):
            made.open_file(path)
    looked = Scan(
        root=made,
        rows=tuple(made.rows),
        fingerprint="",
        racy=(),
        unreadable=(),
        linked=None,
    )
    left = [item.path for item in select(looked, load("default").workspace).left_out]
    assert left == [b"pipe"]


@pytest.mark.parametrize(
    "row",
    [
        member("testbed/../../etc/passwd"),
        member("testbed/a/./b"),
        member("testbed/odd", b"Z"),
    ],
)
def test_what_makes_no_sense_is_refused(row: tarfile.TarInfo, spool: io.BufferedRandom) -> None:
    with pytest.raises(WorkspaceError, match="can't be read"):
        tree(spool, row)


def test_one_that_breaks_off_is_refused(spool: io.BufferedRandom) -> None:
    tree(spool)
    spool.truncate(700)
    spool.seek(0)
    with pytest.raises(WorkspaceError, match="breaks off"):
        ImageTree(ImageFolder("/testbed"), spool)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("requirements.txt", [b"requirements.txt"]),
        ("*.txt", [b"requirements.txt"]),
        ("req/*.txt", [b"req/dev.txt"]),
        ("**/*.txt", [b"req/deep/more.txt", b"req/dev.txt", b"requirements.txt"]),
        ("req/**", [b"req/deep/more.txt", b"req/dev.txt"]),
        ("nothing*", []),
    ],
)
def test_inputs_of_a_set_up(pattern: str, found: list[bytes], spool: io.BufferedRandom) -> None:
    inputs = read_inputs(tree(spool), with_inputs(pattern))
    assert [one.path for one in inputs] == found
    assert all(one.content == FILES[one.path.decode()] and one.executable for one in inputs)


def test_a_link_is_no_input(spool: io.BufferedRandom) -> None:
    made = tree(spool, member("testbed/link.txt", tarfile.SYMTYPE, "/etc/passwd"))
    with pytest.raises(WorkspaceError, match="no regular file"):
        read_inputs(made, with_inputs("link.txt"))


def with_inputs(pattern: str) -> Policy:
    policy = load("default")
    return replace(policy, setup=replace(policy.setup, inputs=(pattern,)))
