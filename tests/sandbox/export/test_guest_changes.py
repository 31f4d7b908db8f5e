"""What changed in a sandbox, from a guest that is honest and from guests that lie."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.guest import Script, Value, babbled, guest, said
from sandbox.errors import SandboxLost
from sandbox.export.guest_changes import FoundChanges, fetch, from_guest
from sandbox.git.manifest import EXECUTABLE, FILE, SYMLINK, Manifest, ManifestEntry, blob_id
from sandbox.git.path_rules import carried
from sandbox.git.store import Store
from sandbox.guest import files
from sandbox.guest.message import GuestAnswer, HostRequest
from sandbox.guest.protocol import (
    ChangedFile,
    ChangedFolder,
    Done,
    FetchFiles,
    FileData,
    FileHead,
    TreeChanges,
    WalkTree,
)
from sandbox.guest.wire import PIECE

REGULAR, PROGRAM, LINK, PIPE = 0o100644, 0o100755, 0o120777, 0o010644
LIMIT = 1 << 20


def manifest(*paths: bytes) -> Manifest:
    entry = ManifestEntry(FILE, blob_id(b"content\n"), 8)
    return Manifest(entries=dict.fromkeys(paths, entry), tracked=None, rule_files={})


class Copy:
    """A directory that stands for the copy in a container, with the guest's own code over it."""

    def __init__(self, root: Path, *names: str) -> None:
        self.root = root
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("content\n")
        self.manifest = manifest(*map(str.encode, names))
        self.since_ns = self._now_ns()

    def _now_ns(self) -> int:
        """The file system's clock, once it has moved past all that stands there."""
        paths = [self.root, *self.root.rglob("*")]
        last = max(path.lstat().st_ctime_ns for path in paths)
        clock = self.root.parent / "clock"
        while True:
            clock.write_text("")
            if (now := clock.stat().st_ctime_ns) > last:
                return now

    def answer(self, request: HostRequest, number: int) -> Iterator[bytes]:
        root = os.fsencode(self.root)
        pieces: list[GuestAnswer] = []
        match request:
            case WalkTree(start=start, everything=everything):
                top = root + b"/" + start if start else root
                files.walk(
                    root, top, 0 if everything else self.since_ns, frozenset(), pieces.append
                )
            case FetchFiles(paths=paths, limit=limit):
                for path in paths:
                    limit -= files.fetch(root, path, limit, pieces.append)
            case _:
                raise AssertionError(request)
        for piece in (*pieces, Done()):
            yield said(number, piece)

    def changes(self) -> FoundChanges:
        with guest(self.answer) as link:
            return from_guest(link, lambda: self.manifest)


def found(changes: FoundChanges) -> tuple[set[bytes], set[bytes]]:
    return changes.candidates, changes.deleted


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    root = tmp_path / "copy"
    root.mkdir()
    return Copy(root, "a", "d/x", "d/y", "d/sub/z", "e/x")


# -- an honest guest ------------------------------------------------------------------------


def test_nothing_done_is_nothing_found(copy: Copy) -> None:
    assert found(copy.changes()) == (set(), set())


def test_new_and_rewritten_files_are_found(copy: Copy) -> None:
    (copy.root / "a").write_text("other\n")
    (copy.root / "d/new").write_text("new\n")
    assert found(copy.changes()) == ({b"a", b"d/new"}, set())


def test_a_file_with_its_time_set_back_is_found(copy: Copy) -> None:
    state = (copy.root / "a").stat()
    (copy.root / "a").write_text("CONTENT\n")
    os.utime(copy.root / "a", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert found(copy.changes()) == ({b"a"}, set())


def test_a_file_made_executable_is_found(copy: Copy) -> None:
    (copy.root / "a").chmod(0o755)
    assert found(copy.changes()) == ({b"a"}, set())


def test_deleted_files_and_directories_are_found(copy: Copy) -> None:
    (copy.root / "a").unlink()
    shutil.rmtree(copy.root / "d")
    assert found(copy.changes()) == (set(), {b"a", b"d/x", b"d/y", b"d/sub/z"})


def test_a_renamed_file_is_gone_here_and_new_there(copy: Copy) -> None:
    (copy.root / "a").rename(copy.root / "e/b")
    assert found(copy.changes()) == ({b"e/b"}, {b"a"})


def test_a_directory_that_became_a_file(copy: Copy) -> None:
    shutil.rmtree(copy.root / "d")
    (copy.root / "d").write_text("file\n")
    assert found(copy.changes()) == ({b"d"}, {b"d/x", b"d/y", b"d/sub/z"})


def test_a_file_that_became_a_directory(copy: Copy) -> None:
    (copy.root / "a").unlink()
    (copy.root / "a").mkdir()
    (copy.root / "a/below").write_text("new\n")
    assert found(copy.changes()) == ({b"a/below"}, {b"a"})


def test_a_directory_that_became_a_link_to_its_double(copy: Copy) -> None:
    (copy.root / "d").rename(copy.root / "real")
    (copy.root / "d").symlink_to("real")
    assert found(copy.changes()) == (
        {b"d", b"real/x", b"real/y", b"real/sub/z"},
        {b"d/x", b"d/y", b"d/sub/z"},
    )


def test_a_moved_directory_is_found_although_its_files_are_as_old_as_ever(copy: Copy) -> None:
    (copy.root / "d").rename(copy.root / "moved")
    assert found(copy.changes()) == (
        {b"moved/x", b"moved/y", b"moved/sub/z"},
        {b"d/x", b"d/y", b"d/sub/z"},
    )


def test_a_directory_moved_into_a_new_one_is_found(copy: Copy) -> None:
    (copy.root / "new/deep").mkdir(parents=True)
    (copy.root / "d").rename(copy.root / "new/deep/moved")
    assert copy.changes().candidates == {
        b"new/deep/moved/x", b"new/deep/moved/y", b"new/deep/moved/sub/z"
    }  # fmt: skip


def test_a_new_tree_is_walked_once_however_deep(copy: Copy) -> None:
    (copy.root / "n/n/n/n/n/n").mkdir(parents=True)
    (copy.root / "n/n/n/n/n/n/file").write_text("new\n")
    walks = []

    def counted(request: HostRequest, number: int) -> Iterator[bytes]:
        assert isinstance(request, WalkTree)
        walks.append((request.start, request.everything))
        return copy.answer(request, number)

    with guest(counted) as link:
        assert from_guest(link, lambda: copy.manifest).candidates == {b"n/n/n/n/n/n/file"}
    assert walks == [(b"", False), (b"n", True)]


def test_links_are_carried_and_pipes_are_left_out(copy: Copy) -> None:
    (copy.root / "link").symlink_to("/etc/passwd")
    os.mkfifo(copy.root / "pipe")
    changes = copy.changes()
    assert found(changes) == ({b"link"}, set())
    assert [item.path for item in changes.left_out] == [b"pipe"]


def test_a_pipe_in_place_of_a_file_takes_the_file_away(copy: Copy) -> None:
    (copy.root / "a").unlink()
    os.mkfifo(copy.root / "a")
    assert found(copy.changes()) == (set(), {b"a"})


def test_what_lies_in_a_repository_is_not_looked_at(copy: Copy) -> None:
    (copy.root / ".git/hooks").mkdir(parents=True)
    (copy.root / ".git/hooks/pre-commit").write_text("evil\n")
    (copy.root / "lib/.git").mkdir(parents=True)
    (copy.root / "lib/.git/config").write_text("evil\n")
    assert found(copy.changes()) == (set(), set())


def test_names_that_are_no_text_are_found(copy: Copy) -> None:
    name = b"\xff\n\xfe"
    os.close(os.open(os.fsencode(copy.root) + b"/" + name, os.O_CREAT))
    assert found(copy.changes()) == ({name}, set())


def test_files_come_out_as_they_stand(copy: Copy, tmp_path: Path) -> None:
    large = bytes(range(256)) * 2048
    (copy.root / "large").write_bytes(large)
    (copy.root / "program").write_text("#!/bin/sh\n")
    (copy.root / "program").chmod(0o700)
    (copy.root / "link").symlink_to("../outside")
    (copy.root / "empty").write_text("")
    os.mkfifo(copy.root / "pipe")
    wanted = {b"large", b"program", b"link", b"empty", b"gone", b"pipe", b"d"}
    store = Store(tmp_path / "store")
    with guest(copy.answer) as link:
        entries, left_out = fetch(link, wanted, store, limit_bytes=LIMIT)
        walk = WalkTree(start=b"d", everything=False)
        (piece,) = link.stream(walk, TreeChanges)
        assert [row.path for row in piece.folders] == [], "the stream is still in step"
    assert entries == {
        b"large": ManifestEntry(FILE, blob_id(large), len(large)),
        b"program": ManifestEntry(EXECUTABLE, blob_id(b"#!/bin/sh\n"), 10),
        b"link": ManifestEntry(SYMLINK, blob_id(b"../outside"), 10),
        b"empty": ManifestEntry(FILE, blob_id(b""), 0),
        b"gone": None,
    }
    assert store.read_bytes(blob_id(large)) == large
    assert {item.path for item in left_out} == {b"pipe", b"d"}


def test_a_file_over_the_limit_is_left_out_and_not_even_sent(copy: Copy, tmp_path: Path) -> None:
    with open(copy.root / "huge", "wb") as file:
        file.truncate(1 << 40)
    with guest(copy.answer) as link:
        entries, (left,) = fetch(
            link, {b"a", b"huge"}, Store(tmp_path / "store"), limit_bytes=LIMIT
        )
    assert set(entries) == {b"a"}
    assert (left.path, left.reason) == (b"huge", f"is too large for a patch ({1 << 40} bytes)")


def test_many_files_at_the_limit_do_not_all_come_along(copy: Copy, tmp_path: Path) -> None:
    for number in range(7):
        (copy.root / f"f{number}").write_bytes(bytes(1000))
    wanted = {b"f%d" % number for number in range(7)}
    with guest(copy.answer) as link:
        entries, left_out = fetch(link, wanted, Store(tmp_path / "store"), limit_bytes=1000)
    assert len(entries) == 4
    assert len(left_out) == 3


# -- guests that lie ------------------------------------------------------------------------


def liar(*pieces: GuestAnswer) -> Script:
    """Answers every walk and fetch with the same pieces."""
    return lambda _, number: [said(number, piece) for piece in (*pieces, Done())]


def files_at(*paths: bytes) -> TreeChanges:
    rows = [ChangedFile(path=path, mode=REGULAR, ctime_ns=1) for path in paths]
    return TreeChanges(files=rows, folders=[])


def folder_at(path: bytes, *names: bytes) -> TreeChanges:
    return TreeChanges(files=[], folders=[ChangedFolder(path=path, names=list(names))])


def head(path: bytes, mode: int, size: int) -> FileHead:
    return FileHead(path=path, mode=mode, size=size)


def data(content: bytes) -> FileData:
    return FileData(data=content)


HOSTILE_PATHS = [b"../x", b"..", b".", b"/etc/passwd", b"a/../../x", b"a//b", b"a/", b"", b"a\0b",
                 b"./a", b"a/./b", b"x" * 5000]  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_path_that_leads_elsewhere_is_not_carried(path: bytes) -> None:
    assert not carried(path)


@pytest.mark.parametrize(
    "path", [b"a", b"a/b", b"..a", b"a..", b"\xff", b"-rf", b"a\nb", b"...", b" "]
)
def test_a_strange_but_plain_path_is_carried(path: bytes) -> None:
    assert carried(path)


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_hostile_path_among_changed_files_loses_the_guest(path: bytes) -> None:
    with guest(liar(files_at(path))) as link, pytest.raises(SandboxLost):
        from_guest(link, lambda: manifest(b"a"))


@pytest.mark.parametrize("path", [path for path in HOSTILE_PATHS if path])
def test_a_hostile_path_among_changed_directories_loses_the_guest(path: bytes) -> None:
    with guest(liar(folder_at(path, b"fx"))) as link, pytest.raises(SandboxLost):
        from_guest(link, lambda: manifest(b"a"))


@pytest.mark.parametrize("path", HOSTILE_PATHS)
@pytest.mark.parametrize("letter", [b"f", b"l", b"d", b"o", b""])
def test_a_hostile_name_in_a_directory_is_no_candidate(path: bytes, letter: bytes) -> None:
    with guest(liar(folder_at(b"", b"fa", letter + path))) as link:
        changes = from_guest(link, lambda: manifest(b"a"))
    assert all(carried(candidate) for candidate in changes.candidates)
    assert changes.deleted == set()


@pytest.mark.parametrize(
    "piece",
    [
        [[]],
        [[], [], []],
        [b"files", []],
        [[b"path"], []],
        [[[b"path"]], []],
        [[[b"path", b"mode", 1]], []],
        [[[7, REGULAR, 1]], []],
        [[], [[b"d"]]],
        [[], [[b"d", b"names"]]],
        [[], [[None, []]]],
        [None, None],
    ],
)
def test_a_malformed_list_of_changes_loses_the_guest(piece: list[Value]) -> None:
    def script(_: HostRequest, number: int) -> Iterator[bytes]:
        yield babbled(b"TreeChanges", number, *piece)
        yield said(number, Done())

    with guest(script) as link, pytest.raises(SandboxLost, match="TreeChanges"):
        from_guest(link, lambda: manifest(b"a"))


@pytest.mark.parametrize(
    "piece",
    [TreeChanges(files=[], folders=[]), files_at(*[b"a"] * 1000), folder_at(b"", *[b"fa"] * 1000)],
)
def test_a_list_of_changes_without_end_loses_the_guest(
    piece: TreeChanges, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.export.guest_changes._CHANGED_LIMIT", 5000)

    def endless(_: HostRequest, number: int) -> Iterator[bytes]:
        while True:
            yield said(number, piece) * 10

    with guest(endless) as link, pytest.raises(SandboxLost, match="no end"):
        from_guest(link, lambda: manifest(b"a"))


def test_new_directories_without_end_lose_the_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.export.guest_changes._CHANGED_LIMIT", 5000)
    names = [b"dn%d" % number for number in range(3000)]
    with guest(liar(folder_at(b"", *names))) as link, pytest.raises(SandboxLost, match="no end"):
        from_guest(link, lambda: manifest(b"a"))


def fetched(script: Script, tmp_path: Path, *paths: bytes) -> dict[bytes, ManifestEntry | None]:
    with guest(script) as link:
        entries, _ = fetch(link, set(paths), Store(tmp_path / "store"), limit_bytes=LIMIT)
        return entries


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([], id="nothing"),
        pytest.param([head(b"b", REGULAR, 1), data(b"x")], id="another path"),
        pytest.param([head(b"../a", REGULAR, 1), data(b"x")], id="a path outside"),
        pytest.param([head(b"a", REGULAR, -1)], id="a size below nothing"),
        pytest.param([head(b"a", REGULAR, 2), data(b"x")], id="too little"),
        pytest.param([head(b"a", REGULAR, 1), data(b"xy")], id="too much in one piece"),
        pytest.param([head(b"a", REGULAR, 1), data(b"x"), data(b"y")], id="one piece more"),
        pytest.param([head(b"a", REGULAR, 1), data(b"")], id="an empty piece"),
        pytest.param([head(b"a", REGULAR, 1), head(b"a", REGULAR, 1)], id="two beginnings"),
        pytest.param([head(b"a", 0, 0), data(b"x")], id="content of what is gone"),
        pytest.param([head(b"a", PIPE, 1), data(b"x")], id="content of a pipe"),
        pytest.param([head(b"a", LINK, 1 << 40)], id="a link as large as a disk"),
        pytest.param(
            [head(b"a", REGULAR, LIMIT + 1), data(b"x")], id="content of what is too large"
        ),
        pytest.param([data(b"a")], id="no beginning"),
        pytest.param([files_at(b"a")], id="another answer"),
    ],
)
def test_a_lie_in_a_fetch_loses_the_guest(pieces: list[GuestAnswer], tmp_path: Path) -> None:
    with pytest.raises(SandboxLost):
        fetched(liar(*pieces), tmp_path, b"a")


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        ([b"FileHead", b"a", b"mode", 1], r"FileHead\.mode"),
        ([b"FileHead", b"a", REGULAR], r"FileHead\.size is missing"),
        ([b"FileData", 7], r"FileData\.data"),
    ],
)
def test_a_malformed_answer_to_a_fetch_loses_the_guest(
    frame: list[Value], why: str, tmp_path: Path
) -> None:
    name, *fields = frame
    with pytest.raises(SandboxLost, match=why):
        fetched(lambda _, number: [babbled(name, number, *fields)], tmp_path, b"a")


def test_a_guest_that_ends_in_the_middle_of_a_file_is_lost(tmp_path: Path) -> None:
    with pytest.raises(SandboxLost):
        fetched(liar(head(b"a", REGULAR, 2 * PIECE), data(bytes(PIECE))), tmp_path, b"a")


def test_the_guest_s_word_on_modes_gives_two_modes_only(tmp_path: Path) -> None:
    for mode, wanted in ((0o104777, EXECUTABLE), (0o107644, FILE), (0o100000, FILE)):
        script = liar(head(b"a", mode, 1), data(b"x"))
        assert fetched(script, tmp_path, b"a") == {b"a": ManifestEntry(wanted, blob_id(b"x"), 1)}


def test_one_change_that_is_kept_silent_hides_no_other(copy: Copy) -> None:
    (copy.root / "a").write_text("hidden\n")
    (copy.root / "d/x").write_text("seen\n")
    hide: Callable[[bytes], bytes] = lambda piece: piece.replace(b"B\0\0\0\1a", b"B\0\0\0\1b")  # noqa: E731

    def script(request: HostRequest, number: int) -> Iterator[bytes]:
        return map(hide, copy.answer(request, number))

    with guest(script) as link:
        assert b"d/x" in from_guest(link, lambda: copy.manifest).candidates


def test_walks_that_each_take_their_time_end_at_the_bound_of_all() -> None:
    """A liar names any number of new directories, and each is asked for by itself."""
    names = [b"d%d" % number for number in range(2000)]

    def drip(request: HostRequest, number: int) -> Iterator[bytes]:
        assert isinstance(request, WalkTree)
        root = ChangedFolder(path=b"", names=[] if request.start else names)
        if request.start:
            threading.Event().wait(0.01)
        yield said(number, TreeChanges(files=[], folders=[root]))
        yield said(number, Done())

    with guest(drip) as link:
        link._stream_timeout_s = 0.5
        with pytest.raises(SandboxLost, match="does not answer"):
            from_guest(link, manifest)


def test_files_that_each_take_their_time_end_at_the_bound_of_all(tmp_path: Path) -> None:
    paths = {b"%d" % number for number in range(200 * 256)}

    def drip(request: HostRequest, number: int) -> Iterator[bytes]:
        assert isinstance(request, FetchFiles)
        threading.Event().wait(0.1)
        for path in request.paths:
            yield said(number, FileHead(path=path, mode=0, size=0))
        yield said(number, Done())

    with guest(drip) as link:
        link._stream_timeout_s = 0.5
        with pytest.raises(SandboxLost, match="does not answer"):
            fetch(link, paths, Store(tmp_path / "store"), limit_bytes=LIMIT)
