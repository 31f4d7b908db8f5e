"""The file tools: the same kernel, the same rules, whatever a path looks like."""

from collections.abc import Iterator

import pytest

from escape.conftest import ChangedPaths, Standing
from sandbox.errors import FileError
from sandbox.sandbox import Sandbox

OUTSIDE = [
    "/etc/passwd", "../etc/passwd", "/workspace/../etc/passwd", "../../../../etc/passwd",
    "/proc/self/root/etc/passwd", "/proc/1/root/etc/passwd", "/proc/thread-self/root/etc/passwd",
    "/proc/self/cwd/../etc/passwd", "link", "directory/passwd", "hops", "/usr/bin/env",
    "/opt/moonpool/sandbox/__init__.py", "/new", "/etc/new/deep/er",
    "/proc/sys/kernel/core_pattern",
    "/proc/sysrq-trigger", "/proc/1/mem", "/proc/self/mem", "/proc/1/fd/0", "/proc/self/fd/1",
    "/proc/1/oom_score_adj", "/sys/kernel/uevent_helper", "/dev/mem",
]  # fmt: skip


@pytest.fixture(scope="module")
def box(standing: Standing, changed_paths: ChangedPaths) -> Iterator[Sandbox]:
    """What all tests together changed is asked once, at the end, for that takes the engine long."""
    box = standing("default")
    box.run("ln -s /etc/passwd link; ln -s /etc directory; ln -s link hop; ln -s hop hops")
    yield box
    assert {name for name in changed_paths(box) if name.startswith(("/etc", "/opt"))} == set()


@pytest.mark.slow
@pytest.mark.parametrize("path", OUTSIDE)
def test_no_path_writes_or_removes_outside(path: str, box: Sandbox) -> None:
    before = box.run("cat /etc/passwd /opt/moonpool/sandbox/__init__.py | sha256sum").stdout
    with pytest.raises(FileError):
        box.write_file(path, b"x")
    if path not in {"link", "hops"}:  # those are the workspace's own
        with pytest.raises(FileError):
            box.delete_file(path)
    after = box.run("cat /etc/passwd /opt/moonpool/sandbox/__init__.py | sha256sum").stdout
    assert after == before


@pytest.mark.parametrize(
    "path",
    ["/usr/bin/perl", "../usr/bin/perl", "/proc/1/environ", "/proc/1/mem",
     "/proc/kcore", "/proc/1/root/usr/bin/perl", "/etc/shadow", "/etc/gshadow", "perl"],
)  # fmt: skip
def test_no_path_reads_what_is_withheld(path: str, box: Sandbox) -> None:
    box.run("ln -sf /usr/bin/perl perl")
    with pytest.raises(FileError):
        box.read_file(path, limit=64)


def test_a_directory_that_is_withheld_is_not_listed(box: Sandbox) -> None:
    with pytest.raises(FileError):
        box.list_dir("/root")


@pytest.mark.parametrize(
    "path", ["/dev/zero", "/dev/random", "/dev/tty", "/dev/ptmx", "pipe", "/dev/stdin", "/dev/full"]
)
def test_what_never_ends_is_not_read_and_nothing_hangs(path: str, box: Sandbox) -> None:
    box.run('python3 -c \'import os; os.path.exists("pipe") or os.mkfifo("pipe")\'')
    with pytest.raises(FileError):
        box.read_file(path)
    with pytest.raises(FileError):
        box.write_file(path, b"x")
    assert box.run("echo 42").stdout == b"42\n"


def test_a_policy_that_only_reads_holds_for_the_file_tools(standing: Standing) -> None:
    box = standing("read-only")
    for path in ("new", "seed", "/workspace/new/x", "/proc/self/cwd/seed", "/tmp/../workspace/y"):
        with pytest.raises(FileError):
            box.write_file(path, b"x")
    with pytest.raises(FileError):
        box.delete_file("seed")
    assert [entry.name for entry in box.list_dir().entries] == [b"seed"]
    assert box.read_file("seed") == b"seed\n"
