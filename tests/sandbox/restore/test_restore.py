"""Going back to a mark in a real container: exact, or named, whatever an adversary does."""

import dataclasses
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import OpenBox
from escape.test_lying_guest import Peer
from fakes.guest import Script, said
from generators.restoring import run, standing
from policies.file.schema import render
from policies.loading import loads
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.errors import NotKept, SandboxError, SandboxLost
from sandbox.git.manifest import FILE, ManifestEntry, blob_id
from sandbox.git.store import Store
from sandbox.guest import message, wire
from sandbox.guest.message import GuestAnswer, HostRequest
from sandbox.guest.protocol import (
    Done,
    Freeze,
    Frozen,
    ListFolders,
    NotPlaced,
    OddFolder,
    OddFolders,
    Placed,
    PutFiles,
    TreeChanges,
    WalkTree,
)
from sandbox.sandbox import Sandbox
from sandbox.tracking import Mark, MarkedDirectory, Restored

EMPTY = MarkedDirectory(mode=0o755, empty=True, repository=False)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "steps"


def reasons(restored: Restored) -> dict[bytes, str]:
    return {item.path: item.reason for item in restored.left}


def test_whatever_was_changed_since_is_as_it_was(
    engine: Engine, workspace: Path, tmp_path: Path, image: str
) -> None:
    assert image
    found = run(engine, workspace, tmp_path, seed=7, cases=25)
    assert found.moved > 100
    assert found.inexact == {}


def test_what_stood_at_the_mark_is_put_back_and_only_that(
    open_box: OpenBox, workspace: Path, store: Path, engine: Engine
) -> None:
    for name in ("keep", "edit", "d/in", "x.sh", "blank/.keep"):
        (workspace / name).parent.mkdir(exist_ok=True)
        (workspace / name).write_text(f"{name}\n")
    (workspace / "shut").write_text("s\n")
    (workspace / "shut").chmod(0o600)
    (workspace / "link").symlink_to("edit")
    (workspace / "empty").mkdir()
    box = open_box()
    box.run(
        "echo 1 >> edit; mkdir hollow; chmod 755 x.sh; echo n > n; chmod 640 n; "
        "python3 -c 'import os; os.mkfifo(\"pipe\")'"
    )
    mark = box.mark(store)
    then = standing(engine, box.id)
    box.run(
        "rm -r d; echo file > d; rm link; mkdir link; echo x > link/y; chmod 644 x.sh shut; "
        "echo 2 >> edit; rm n; mkdir -p new/deep; rmdir hollow empty; echo x > empty; "
        "ln keep hard; touch keep; rm blank/.keep; chmod 700 blank; "
        "python3 -c 'import os; os.mkfifo(\"other\")'"
    )
    restored = box.restore(mark)
    assert standing(engine, box.id) == then
    assert restored.differing == ()
    assert restored.left == ()
    assert restored.back == (
        b"blank/.keep", b"d/in", b"edit", b"link", b"n", b"shut", b"x.sh"
    )  # fmt: skip
    assert restored.removed == (b"d", b"empty", b"hard", b"link/y", b"other")


def test_it_can_be_gone_back_again_and_to_other_marks_in_any_order(
    open_box: OpenBox, store: Path
) -> None:
    box = open_box()
    marks = []
    for number in range(4):
        marks.append(box.mark(store))
        box.run(f"echo {number} > f{number}; echo {number} >> all")
    for number in (1, 3, 0, 2, 2):
        assert box.restore(marks[number]).differing == ()
        listed = b"".join(b"f%d\n" % n for n in range(number))
        assert box.run("ls f* 2>/dev/null; true").stdout == listed
        assert box.run("cat all 2>/dev/null; true").stdout.count(b"\n") == number
    assert {change.path for change in box.export().changes} == {b"f0", b"f1", b"all"}


# -- what is not gone back ---------------------------------------------------------------------


def test_what_can_not_be_gone_back_is_named(
    open_box: OpenBox, workspace: Path, store: Path
) -> None:
    (workspace / ".gitignore").write_text("build/\n*.log\n")
    box = open_box()
    box.run(
        "mkdir build; echo 1 > build/a; echo 1 > gone.log; head -c 9000000 /dev/zero > large; "
        "head -c 9000000 /dev/zero > same; "
        "python3 -c 'import os; os.mkfifo(\"pipe\")'"
    )
    mark = box.mark(store)
    assert mark.missed == {b"large", b"same"}
    box.run(
        "echo 2 > build/a; rm gone.log; echo x > new.log; echo > large; rm pipe; mkdir -p r/.git"
    )
    restored = box.restore(mark)
    assert restored.differing == ()
    assert reasons(restored) == {
        b"build/a": "is as it is now: it is ignored",
        b"new.log": "is as it is now: it is ignored",
        b"gone.log": "is gone for good: it was ignored",
        b"large": "was too large to be kept, and is as it is now",
        b"pipe": "was a socket, pipe or device",
        b"r/.git": "is as it is now",
    }
    assert box.run("cat build/a; stat -c %s same").stdout == b"2\n9000000\n"


def test_a_large_file_of_the_baseline_is_brought_back_all_the_same(
    open_box: OpenBox, workspace: Path, store: Path
) -> None:
    data = os.urandom(9_000_000)
    (workspace / "large").write_bytes(data)
    box = open_box()
    mark = box.mark(store)
    box.run("echo x > large")
    assert box.restore(mark).back == (b"large",)
    assert box.read_file("large") == data


def test_what_is_no_longer_on_the_host_comes_from_the_snapshot(
    open_box: OpenBox, workspace: Path, store: Path, engine: Engine
) -> None:
    names = [f"f{number}" for number in range(40)]
    for name in names:
        (workspace / name).write_text(f"{name}\n")
        (workspace / name).chmod(0o640)
    box = open_box()
    mark = box.mark(store)
    then = standing(engine, box.id)
    box.run("echo x | tee f* >/dev/null; rm f1; chmod 600 f2")
    for name in names:
        (workspace / name).write_text("the host's, since\n")
    assert len(box.restore(mark).back) == 40
    assert standing(engine, box.id) == then


# -- what runs ---------------------------------------------------------------------------------


def test_a_process_that_goes_on_writing_is_ended_and_its_writing_undone(
    open_box: OpenBox, store: Path
) -> None:
    box = open_box()
    box.run("echo 1 > kept")
    mark = box.mark(store)
    for _ in range(4):
        box.start(
            "trap '' TERM; while :; do echo x >> kept; rm -f made; ln -s /tmp made; mkdir -p d; "
            "mv d e 2>/dev/null; done & wait"
        )
    box.run("while [ ! -L made ]; do sleep 0.01; done")
    restored = box.restore(mark)
    assert restored.ended >= 4
    assert restored.differing == ()
    assert box.run("sleep 0.2; cat kept; ls").stdout == b"1\nkept\n"


def test_a_directory_that_a_command_stood_in_is_gone_and_the_next_is_in_the_workspace(
    open_box: OpenBox, store: Path
) -> None:
    box = open_box()
    mark = box.mark(store)
    box.run("mkdir -p a/b; cd a/b; export KEPT=yes")
    assert box.run("pwd").stdout == b"/workspace/a/b\n"
    box.restore(mark)
    assert box.run("pwd; echo $KEPT; ls").stdout == b"/workspace\nyes\n"


# -- an agent that makes it hard ---------------------------------------------------------------


def test_links_on_the_way_are_not_followed(
    open_box: OpenBox, workspace: Path, store: Path, engine: Engine
) -> None:
    (workspace / "d/sub").mkdir(parents=True)
    for name in ("d/a", "d/sub/b", "other"):
        (workspace / name).write_text(f"{name}\n")
    box = open_box()
    box.run("mkdir /tmp/out /tmp/out/sub; echo mine > /tmp/out/a; echo mine > /tmp/out/sub/b")
    mark = box.mark(store)
    then = standing(engine, box.id)
    box.run("rm -r d; ln -s /tmp/out d; ln -sf /tmp/out/a other; ln -s /tmp/out new")
    assert box.restore(mark).differing == ()
    assert standing(engine, box.id) == then
    assert box.run("cat /tmp/out/a /tmp/out/sub/b").stdout == b"mine\nmine\n"


def test_an_ignored_link_in_place_of_a_directory_is_in_the_way_and_goes(
    open_box: OpenBox, workspace: Path, store: Path
) -> None:
    (workspace / ".gitignore").write_text("/d\n")
    (workspace / "d").mkdir()
    (workspace / "d/a").write_text("a\n")
    box = open_box()
    mark = box.mark(store)
    box.run("mkdir /tmp/out; rm -r d; ln -s /tmp/out d")
    restored = box.restore(mark)
    assert restored.differing == ()
    assert box.run("cat d/a; ls /tmp/out").stdout == b"a\n"


def test_a_directory_where_a_file_must_go_is_cleared_however_deep_and_shut_it_is(
    open_box: OpenBox, workspace: Path, store: Path
) -> None:
    (workspace / ".gitignore").write_text("*.o\n")
    (workspace / "f").write_text("f\n")
    box = open_box()
    mark = box.mark(store)
    box.run(
        "rm f; mkdir -p f/.git/objects f/sub; echo x > f/sub/i.o; cd f; "
        "name=$(printf 'd%.0s' {1..200}); "
        "for i in {1..60}; do mkdir $name; cd $name; done; echo x > y; chmod 0 .; "
        "cd /workspace; chmod 500 f/sub; mkdir f/none; chmod 0 f/none"
    )
    restored = box.restore(mark)
    assert restored.differing == ()
    assert box.read_file("f") == b"f\n"
    assert box.run("cd /; ls /workspace").stdout == b"f\n"


def test_directories_that_were_shut_are_open_again(
    open_box: OpenBox, workspace: Path, store: Path, engine: Engine
) -> None:
    for name in ("a/f", "b/c/f", "e/f"):
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).write_text("1\n")
    box = open_box()
    box.run("chmod 500 e")
    mark = box.mark(store)
    then = standing(engine, box.id)
    box.run(
        "echo 2 > a/f; chmod 500 a; rm b/c/f; chmod 0 b/c; chmod 500 b; echo 2 > e/f; chmod 500 ."
    )
    assert box.restore(mark).differing == ()
    assert standing(engine, box.id) == then


@pytest.mark.slow
def test_thousands_of_changed_files_are_gone_back(
    open_box: OpenBox, workspace: Path, store: Path, engine: Engine
) -> None:
    for number in range(20):
        (workspace / f"d{number}").mkdir()
        for inner in range(100):
            (workspace / f"d{number}/{inner}").write_text(f"{number} {inner}\n")
    box = open_box()
    mark = box.mark(store)
    then = standing(engine, box.id)
    box.run(
        "python3 -c '\nimport os\nfor n in range(20):\n  for i in range(100):\n"
        '    open(f"d{n}/{i}", "a").write("more")\n    open(f"d{n}/new{i}", "w").write("x")\n\''
    )
    restored = box.restore(mark)
    assert (len(restored.back), len(restored.removed)) == (2_000, 2_000)
    assert restored.differing == ()
    assert standing(engine, box.id) == then


def test_a_full_disk_in_the_container_is_said_and_it_works_with_room(
    open_box: OpenBox, workspace: Path, store: Path, default_policy: Policy
) -> None:
    (workspace / "f").write_bytes(b"f" * 3_000_000)
    rules = render(default_policy).replace("disk: 4GiB", "disk: 64MiB")
    box = open_box(loads(rules, file="t"))
    mark = box.mark(store)
    box.run("rm f; head -c 70000000 /dev/zero > fills")
    # What fills it is new, and goes before anything is put.
    assert box.restore(mark).differing == ()
    assert box.read_file("f") == b"f" * 3_000_000


# -- a record, a store and a guest that lie ----------------------------------------------------


def test_a_mark_with_a_path_that_is_none_touches_nothing(open_box: OpenBox, store: Path) -> None:
    box = open_box()
    box.run("echo x > a")
    entry = ManifestEntry(FILE, Store(store).put([b"planted\n"], 8), 8)
    for path in (b"../out", b"a/../../out", b"/etc/x", b"a//b", b"", b"nul\0"):
        with pytest.raises(NotKept):
            box.restore(Mark(store=store, changed={path: entry}))
        assert box.read_file("a") == b"x\n", path


def test_names_that_are_no_text_are_put_back(open_box: OpenBox, store: Path) -> None:
    box = open_box()
    data = b"x\n"
    blob = Store(store).put([data], len(data))
    names = [b"new\nline", b"-rf", b"\xff\xfe", b" ", b"a\\..\\b", b"..a/...", b"x" * 255]
    mark = Mark(store=store, changed={name: ManifestEntry(FILE, blob, 2) for name in names})
    assert box.restore(mark).differing == ()
    assert {change.path for change in box.export().changes} == set(names)


def test_content_that_was_changed_in_the_store_is_not_put(open_box: OpenBox, store: Path) -> None:
    box = open_box()
    box.run("echo one > a; echo two > b")
    mark = box.mark(store)
    planted = Store(store).file_of(blob_id(b"one\n"))
    planted.chmod(0o600)
    planted.write_bytes(zlib.compress(b"blob 4\0evil"))
    Store(store).file_of(blob_id(b"two\n")).unlink()
    box.run("echo later > a; rm b")
    restored = box.restore(mark)
    assert {item.path: item.reason for item in restored.differing} == {
        b"a": "is not as it was (its kept content is gone or was changed since)",
        b"b": "is gone (its kept content is gone or was changed since)",
    }
    assert box.read_file("a") == b"later\n"


def test_a_guest_that_died_is_started_again_for_it(
    open_box: OpenBox, store: Path, engine: Engine
) -> None:
    box = open_box()
    box.run("echo 1 > a")
    mark = box.mark(store)
    box.run("echo 2 > a; echo n > n")
    engine.kill(box.id)
    restored = box.restore(mark)
    assert (restored.back, restored.removed) == ((b"a",), (b"n",))
    assert box.run("cat a; ls").stdout == b"1\na\n"


def test_a_container_that_is_gone_is_an_error(open_box: OpenBox, store: Path) -> None:
    box = open_box()
    mark = box.mark(store)
    box.close()
    with pytest.raises(SandboxLost):
        box.restore(mark)


def _idle(request: HostRequest, number: int) -> Iterator[bytes]:
    """Agrees to everything and does nothing; nothing has changed either."""
    match request:
        case Freeze():
            yield said(number, Frozen(ended=0))
        case WalkTree():
            yield said(number, TreeChanges(files=[], folders=[]))
            yield said(number, Done())
        case ListFolders():
            yield said(number, Done())
        case _:
            yield said(number, Placed(failed=[]))


def _except(kind: type[HostRequest], *answers: GuestAnswer) -> Script:
    """Answers one kind of request otherwise."""
    return lambda request, number: (
        [said(number, answer) for answer in answers]
        if isinstance(request, kind)
        else _idle(request, number)
    )


_OUTSIDE = OddFolder(path=b"../x", mode=0o755, empty=True, repository=False)
LIES: dict[str, Script] = {
    "folders without end": _except(ListFolders, *[OddFolders(folders=[])] * 600_000),
    "a folder outside": _except(ListFolders, OddFolders(folders=[_OUTSIDE]), Done()),
    "freeze says nothing": _except(Freeze, Done()),
    "a failure of no row": _except(PutFiles, Placed(failed=[NotPlaced(row=7, errno=13)])),
}


class _Lying:
    """Somebody else answers for the guest, as long as it lasts."""

    def __init__(self, box: Sandbox, lie: Script) -> None:
        session = box._session
        session.started.link.close()
        self.peer = _Patient(lie)
        session.started = dataclasses.replace(session.started, link=self.peer.link)
        session._restarts = 99


class _Patient(Peer):
    """Goes on answering after the first request."""

    def _serve(self) -> None:
        requests = wire.FrameReader()
        try:
            while data := self._theirs.recv(1 << 16):
                for frame in requests.read(data):
                    number, request = message.read(frame, HostRequest)
                    for piece in self._lie(request, number):
                        self._theirs.sendall(piece)
        except OSError:
            pass


@pytest.mark.slow
@pytest.mark.parametrize("lie", LIES)
def test_a_guest_that_makes_no_sense_is_lost_and_nothing_is_believed(
    open_box: OpenBox, store: Path, lie: str
) -> None:
    box = open_box()
    box.run("echo 1 > a")
    mark = box.mark(store)
    box.run("echo 2 > a")
    liar = _Lying(box, LIES[lie])
    with pytest.raises(SandboxLost):
        box.restore(dataclasses.replace(mark, folders={b"e": EMPTY}))
    liar.peer.close()


def test_a_guest_that_says_done_and_does_nothing_is_found_out(
    open_box: OpenBox, store: Path
) -> None:
    """It claims to have put everything, and shows the workspace as unchanged since the start."""
    box = open_box()
    box.run("echo 1 > a")
    mark = box.mark(store)
    box.run("echo 2 > a")
    liar = _Lying(box, _idle)
    restored = box.restore(dataclasses.replace(mark, folders=None))
    assert {item.path: item.reason for item in restored.differing} == {b"a": "is gone"}
    liar.peer.close()


def test_a_baseline_that_is_nowhere_any_more_is_an_error_and_no_file_is_touched(
    open_box: OpenBox, workspace: Path, store: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "f").write_text("f\n")
    box = open_box()
    mark = box.mark(store)
    box.run("echo 2 > f; echo new > n")
    (workspace / "f").write_text("the host's, since\n")
    # An image without a workspace in it, as if somebody had tagged another one so.
    other = dataclasses.replace(box._opened.snapshot, image=image)
    monkeypatch.setattr(box, "_opened", dataclasses.replace(box._opened, snapshot=other))
    with pytest.raises(SandboxError):
        box.restore(mark)
    assert box.run("cat f n").stdout == b"2\nnew\n"
