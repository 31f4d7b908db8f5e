"""What of a workspace is seen, and what of it would be copied."""

import errno
import os
import socket
from pathlib import Path

import pytest

from policies.policy import History, WorkspaceRules
from sandbox.errors import WorkspaceError
from sandbox.workspace.scan import FoundFile, Scan, scan
from sandbox.workspace.selection import Selection, select


def rules(
    *exclude: str, history: History = History.FULL, max_bytes: int = 1 << 20
) -> WorkspaceRules:
    return WorkspaceRules(exclude=exclude, secrets=(), history=history, max_bytes=max_bytes)


def fill(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("content\n")


def seen(root: Path) -> list[bytes]:
    return [row[0] for row in scan(root).rows]


def chosen(root: Path, *exclude: str, history: History = History.FULL) -> Selection:
    return select(scan(root), rules(*exclude, history=history))


def copied(selection: Selection) -> set[bytes]:
    return {item.path for item in selection.copied}


def reasons(selection: Selection) -> dict[bytes, str]:
    return {item.path: item.reason for item in selection.left_out}


def test_parents_come_before_children(tmp_path: Path) -> None:
    fill(tmp_path, "b/c/d", "a", "b/a", "z/y")
    found = seen(tmp_path)
    assert sorted(found) == [b"a", b"b", b"b/a", b"b/c", b"b/c/d", b"z", b"z/y"]
    for path in found:
        parent = path.rpartition(b"/")[0]
        assert not parent or found.index(parent) < found.index(path)


def test_a_missing_workspace_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="does not exist"):
        scan(tmp_path / "none")


def test_a_file_is_no_workspace(tmp_path: Path) -> None:
    fill(tmp_path, "file")
    with pytest.raises(WorkspaceError, match="not a directory"):
        scan(tmp_path / "file")
    with pytest.raises(WorkspaceError):
        scan(tmp_path / "file" / "below")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_a_name_that_no_directory_can_have_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(WorkspaceError):
        scan(tmp_path / name)


def test_a_loop_of_links_as_workspace_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(WorkspaceError):
        scan(tmp_path / "a")


def test_links_are_seen_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    fill(outside, "secret")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "out").symlink_to(outside)
    (inside / "self").symlink_to(".")
    (inside / "loop").symlink_to("loop")
    (inside / "dangling").symlink_to("nowhere")
    assert seen(inside) == [b"dangling", b"loop", b"out", b"self"]
    assert copied(chosen(inside)) == {b"dangling", b"loop", b"out", b"self"}


def test_names_that_are_no_text_are_kept_as_they_are(tmp_path: Path) -> None:
    names = {b"\xff\xfe", b"new\nline", b"tab\t", b" ", "é".encode(), b"-rf"}
    for name in names:
        os.mkdir(os.fsencode(tmp_path) + b"/" + name)
        os.close(os.open(os.fsencode(tmp_path) + b"/" + name + b"/\xfffile", os.O_CREAT))
    selection = chosen(tmp_path, "*.pem")
    assert copied(selection) == names | {name + b"/\xfffile" for name in names}


def test_a_name_that_is_no_text_can_be_excluded_by_its_ending(tmp_path: Path) -> None:
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff.pem", os.O_CREAT))
    assert copied(chosen(tmp_path, "*.pem")) == set()


def test_sockets_and_pipes_are_left_out_with_the_reason(tmp_path: Path) -> None:
    fill(tmp_path, "file")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket"))
        selection = chosen(tmp_path)
    assert copied(selection) == {b"file"}
    assert reasons(selection) == {b"pipe": "is a named pipe", b"socket": "is a socket"}


def test_an_excluded_directory_goes_with_all_below_it_and_is_said_once(tmp_path: Path) -> None:
    fill(tmp_path, "secrets/a", "secrets/deep/b", "src/secrets/c", "src/d", "secrets.txt")
    selection = chosen(tmp_path, "secrets/")
    assert copied(selection) == {b"src", b"src/d", b"secrets.txt"}
    assert set(reasons(selection)) == {b"secrets", b"src/secrets"}


def test_an_anchored_pattern_counts_at_the_top_only(tmp_path: Path) -> None:
    fill(tmp_path, "build/a", "src/build/b")
    assert copied(chosen(tmp_path, "/build")) == {b"src", b"src/build", b"src/build/b"}


def test_a_negated_pattern_keeps_a_file(tmp_path: Path) -> None:
    fill(tmp_path, ".env", ".env.example")
    assert copied(chosen(tmp_path, ".env*", "!.env.example")) == {b".env.example"}


def test_a_pattern_for_directories_leaves_a_file_of_that_name(tmp_path: Path) -> None:
    fill(tmp_path, "secrets")
    assert copied(chosen(tmp_path, "secrets/")) == {b"secrets"}


def test_a_link_to_an_excluded_directory_is_no_way_in(tmp_path: Path) -> None:
    fill(tmp_path, "secrets/a")
    (tmp_path / "link").symlink_to("secrets")
    assert copied(chosen(tmp_path, "secrets/")) == {b"link"}


def test_more_bytes_than_allowed_is_an_error_that_says_how_many(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(1001))
    with pytest.raises(WorkspaceError, match="1001 bytes"):
        select(scan(tmp_path), rules(max_bytes=1000))
    assert select(scan(tmp_path), rules(max_bytes=1001)).total_bytes == 1001
    assert select(scan(tmp_path), rules("large", max_bytes=0)).total_bytes == 0


def test_what_can_not_be_read_is_an_error_unless_excluded() -> None:
    # As root everything can be read, so the look is written down here.
    directory = FoundFile(path=b"closed", mode=0o040000, size=0, mtime_ns=1, ctime_ns=1, inode=2)
    looked = Scan(
        root=Path("/w"),
        rows=(directory,),
        fingerprint="",
        racy=(),
        unreadable=((b"closed", errno.EACCES),),
        linked=None,
    )
    with pytest.raises(WorkspaceError, match="closed"):
        select(looked, rules())
    assert select(looked, rules("closed/")).copied == ()


def test_history_none_leaves_the_repository_out(tmp_path: Path) -> None:
    fill(tmp_path, ".git/HEAD", ".git/objects/ab/cd", "file")
    assert copied(chosen(tmp_path, history=History.NONE)) == {b"file"}
    assert b".git/objects/ab/cd" in copied(chosen(tmp_path))


@pytest.mark.parametrize("history", list(History))
@pytest.mark.parametrize("name", [".git", "lib/.git"])
def test_a_pointer_to_a_repository_elsewhere_is_left_out(
    tmp_path: Path, history: History, name: str
) -> None:
    fill(tmp_path, name, "file")
    selection = chosen(tmp_path, history=history)
    assert name.encode() not in copied(selection)
    assert reasons(selection).keys() == {name.encode()}
    assert reasons(selection)[name.encode()].startswith("points to a repository elsewhere")


def test_a_link_as_repository_is_left_out(tmp_path: Path) -> None:
    (tmp_path / ".git").symlink_to("/elsewhere/.git")
    assert copied(chosen(tmp_path)) == set()


@pytest.mark.parametrize(
    "name",
    ["FETCH_HEAD", "index.lock", "credentials", "objects/info/alternates", "hooks/x.sample"],
)
def test_git_files_that_tell_of_the_host_stay_there(tmp_path: Path, name: str) -> None:
    fill(tmp_path, f".git/{name}", ".git/HEAD", ".git/hooks/real")
    found = copied(chosen(tmp_path))
    assert f".git/{name}".encode() not in found
    assert not chosen(tmp_path).left_out
    assert bool(chosen(tmp_path).borrowing) is name.endswith("alternates"), "git misses that only"
    assert {b".git/HEAD", b".git/hooks/real"} <= found


def test_exclusions_do_not_tear_holes_into_a_repository(tmp_path: Path) -> None:
    fill(tmp_path, ".git/refs/heads/secrets", "secrets")
    assert b".git/refs/heads/secrets" in copied(chosen(tmp_path, "secrets"))


def test_two_looks_at_the_same_tree_agree(tmp_path: Path) -> None:
    fill(tmp_path, "a", "b/c")
    assert scan(tmp_path).fingerprint == scan(tmp_path).fingerprint


def retimed(path: Path) -> None:
    """Change the content, and set the time stamp back: the change time tells still."""
    state = path.stat()
    path.write_text("CONTENT\n")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        lambda root: fill(root, "new"),
        lambda root: (root / "a").unlink(),
        lambda root: (root / "a").rename(root / "aa"),
        lambda root: (root / "a").chmod(0o755),
        lambda root: (root / "b").chmod(0o700),
        lambda root: (root / "a").write_text("longer content\n"),
        lambda root: retimed(root / "a"),
        lambda root: os.replace(root / "b/c", root / "a"),
        lambda root: fill(root, "empty/"),
        lambda root: ((root / "l").unlink(), (root / "l").symlink_to("b")),
    ],
)
def test_a_change_shows_in_the_fingerprint(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    fill(tmp_path, "a", "b/c")
    (tmp_path / "l").symlink_to("a")
    for path in (tmp_path / "a", tmp_path / "b/c"):
        os.utime(path, (1, 1))
    before = scan(tmp_path)
    change(tmp_path)
    after = scan(tmp_path)
    # Within a tick of the clock only the content tells, and such files are named.
    assert after.fingerprint != before.fingerprint or b"a" in before.racy


def test_a_file_younger_than_the_coarsest_clock_is_named(tmp_path: Path) -> None:
    fill(tmp_path, "young", "d/")
    (tmp_path / "link").symlink_to("young")
    assert scan(tmp_path).racy == (b"link", b"young")


def test_a_file_from_the_future_is_never_trusted(tmp_path: Path) -> None:
    fill(tmp_path, "future")
    os.utime(tmp_path / "future", (1 << 40, 1 << 40))
    assert scan(tmp_path).racy == (b"future",)


def test_a_tree_nested_beyond_reason_is_an_error(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(600):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    with pytest.raises(WorkspaceError, match="nested too deep"):
        scan(tmp_path)
