"""The files of a workspace that a set-up sees: named by patterns, read as data, no link taken."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from images.setup.inputs import read_inputs
from policies.policy import Policy
from sandbox.errors import WorkspaceError


@pytest.fixture
def read(workspace: Path, default_policy: Policy) -> "Read":
    return Read(workspace, default_policy)


class Read:
    def __init__(self, workspace: Path, policy: Policy) -> None:
        self.workspace = workspace
        self.policy = policy

    def files(self, *paths: str, content: bytes = b"x") -> None:
        for path in paths:
            file = self.workspace / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def __call__(self, *patterns: str) -> list[bytes]:
        setup = replace(self.policy.setup, inputs=patterns)
        found = read_inputs(self.workspace, replace(self.policy, setup=setup))
        return [one.path for one in found]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("a.txt", ["a.txt"]),
        ("*.txt", ["a.txt", "b.txt"]),
        ("/a.txt", ["a.txt"]),
        ("p/*/package.json", ["p/x/package.json", "p/y/package.json"]),
        ("**/package.json", ["p/x/package.json", "p/y/package.json", "package.json"]),
        ("p/**", ["p/x/deep/lock", "p/x/package.json", "p/y/package.json"]),
        ("[ab].txt", ["a.txt", "b.txt"]),
        ("none/*", []),
        ("target/*/lock", ["target/x/lock"]),
        ("**/lock", ["p/x/deep/lock"]),
        ("none.txt", []),
    ],
)
def test_patterns_name_files_from_the_top(read: Read, pattern: str, found: list[str]) -> None:
    read.files("a.txt", "b.txt", "package.json", "p/x/package.json", "p/x/deep/lock")
    read.files("p/y/package.json", ".git/config", "target/x/lock", "p/node_modules/a/lock")
    assert read(pattern) == sorted(name.encode() for name in found)


def test_content_and_mode_come_along_and_each_file_once(read: Read, default_policy: Policy) -> None:
    read.files("a.sh", content=b"\x00\xff")
    (read.workspace / "a.sh").chmod(0o755)
    setup = replace(default_policy.setup, inputs=("a.sh", "*.sh"))
    (one,) = read_inputs(read.workspace, replace(default_policy, setup=setup))
    assert (one.path, one.content, one.executable) == (b"a.sh", b"\x00\xff", True)


def test_a_link_is_refused_by_name(read: Read, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the host's")
    (read.workspace / "lock").symlink_to(tmp_path / "secret")
    with pytest.raises(WorkspaceError, match=r"'lock': it is no regular file.*setup\.inputs"):
        read("lock")
    with pytest.raises(WorkspaceError, match="no regular file"):
        read("l*")


def test_no_folder_is_entered_by_a_link(read: Read, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/lock").write_text("the host's")
    (read.workspace / "p").symlink_to(tmp_path / "out")
    assert read("p/*") == []
    assert read("*/lock") == []
    assert read("**/lock") == []
    with pytest.raises(WorkspaceError, match="no regular file"):
        read("p/lock")


@pytest.mark.parametrize("pattern", ["../secret", "a/../../secret", "./../secret"])
def test_a_pattern_does_not_lead_out(read: Read, tmp_path: Path, pattern: str) -> None:
    (tmp_path / "secret").write_text("the host's")
    read.files("a/x")
    with pytest.raises(WorkspaceError, match="names no files of the workspace"):
        read(pattern)


@pytest.mark.parametrize("kind", ["fifo", "socket", "folder"])
def test_what_is_no_file_is_refused_at_once(read: Read, kind: str) -> None:
    path = read.workspace / "lock"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    with pytest.raises(WorkspaceError, match="'lock': it is no regular file"):
        read("lock")


def test_what_is_no_file_does_not_count_where_all_folders_are_looked_through(read: Read) -> None:
    """A fixture's link or folder with a manifest's name stops nobody's set-up."""
    read.files("p/lock", "q/lock/x", "r/x")
    (read.workspace / "r/lock").symlink_to("x")
    assert read("**/lock") == [b"p/lock"]


def test_a_file_of_2_gb_is_not_read(read: Read) -> None:
    read.files("a.lock", "b.lock")
    os.truncate(read.workspace / "b.lock", 2 << 30)
    with pytest.raises(WorkspaceError, match=r"'b\.lock': it is too large"):
        read("*.lock")


def test_files_that_are_too_large_together_are_refused(read: Read) -> None:
    read.files("a.lock", "b.lock", content=b"x" * (40 << 20))
    with pytest.raises(WorkspaceError, match="64 MiB in all"):
        read("*.lock")


def test_what_the_policy_excludes_is_no_input(read: Read) -> None:
    read.policy = replace(
        read.policy, workspace=replace(read.policy.workspace, exclude=("vendor/",))
    )
    read.files("vendor/a.lock")
    with pytest.raises(WorkspaceError, match=r"'vendor/a\.lock': it is excluded by the policy"):
        read("**/*.lock")


@pytest.mark.parametrize("name", [".env", "keys/server.key"])
def test_what_may_hold_a_secret_is_no_input(read: Read, name: str) -> None:
    read.files(name)
    with pytest.raises(WorkspaceError, match=r"may hold a secret \(workspace\.secrets\)"):
        read(name)


def test_a_file_with_a_live_token_is_no_input(read: Read) -> None:
    token = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0hJ3kM6"
    read.files("requirements.txt", content=f"a @ git+https://{token}@a.example/a".encode())
    with pytest.raises(WorkspaceError, match="live secret, a GitHub token"):
        read("requirements.txt")


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.lock", b"a\nb.lock", b"-rf.lock", b"* ?.lock", b"a\x1b[2J.lock"]
)
def test_a_name_is_bytes_and_nothing_else(read: Read, name: bytes) -> None:
    with open(os.path.join(os.fsencode(read.workspace), name), "wb"):
        pass
    assert read("*.lock") == [name]


def test_more_folders_than_anybody_looks_through_end_with_words(read: Read) -> None:
    deep = read.workspace
    for _ in range(300):
        deep /= "d"
    deep.mkdir(parents=True)
    (deep / "lock").write_text("x")
    assert read("**/lock") == []
