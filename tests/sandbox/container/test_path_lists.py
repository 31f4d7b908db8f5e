"""`paths.read` and `paths.write` in a real container: by command and by file tool alike."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import OpenBox
from policies.policy import Policy
from sandbox.errors import FileDenied, FileMissing
from sandbox.sandbox import Sandbox

Listed = Callable[..., Sandbox]

WORKSPACE = {
    "README.md": "readme\n",
    "hidden.txt": "secret 1764\n",
    "src/a.py": "a = 1\n",
    "src/gen/old.txt": "old\n",
    "srcs/b.py": "secret 1764\n",
    "inner/k.txt": "secret 1764\n",
}


@pytest.fixture
def listed(open_box: OpenBox, workspace: Path, default_policy: Policy) -> Listed:
    """Opens a sandbox on a small project, under the default policy with lists of paths."""
    for name, text in WORKSPACE.items():
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).write_text(text)
    (workspace / "src/link").symlink_to("../hidden.txt")
    (workspace / "src/up").symlink_to("..")
    (workspace / "docs").symlink_to("inner")

    def opener(*, read: tuple[str, ...] | None, write: tuple[str, ...]) -> Sandbox:
        paths = replace(default_policy.paths, read=read, write=write)
        return open_box(replace(default_policy, paths=paths))

    return opener


def reads(box: Sandbox, path: str) -> bool:
    """By command and by file tool; they must not differ."""
    shown = box.run(f"cat {path}")
    try:
        box.read_file(path)
        by_tool = True
    except FileDenied:
        by_tool = False
    assert (shown.exit_code == 0) is by_tool, f"{path}: {shown.stderr!r}"
    assert by_tool or b"1764" not in shown.stdout
    return by_tool


def writes(box: Sandbox, path: str) -> bool:
    written = box.run(f"echo by command > {path}")
    try:
        box.write_file(path, b"by tool\n")
        by_tool = True
    except (FileDenied, FileMissing):
        by_tool = False
    assert (written.exit_code == 0) is by_tool, f"{path}: {written.stderr!r}"
    return by_tool


def test_what_is_listed_can_be_read_and_nothing_else_of_the_workspace(listed: Listed) -> None:
    box = listed(read=("src", "README.md"), write=())
    assert reads(box, "README.md")
    assert reads(box, "src/a.py")
    assert reads(box, "/workspace/src/gen/old.txt")
    for path in ("hidden.txt", "srcs/b.py", "inner/k.txt", "src/../hidden.txt",
                 "/workspace/./hidden.txt", "/proc/self/cwd/hidden.txt"):  # fmt: skip
        assert not reads(box, path), path


def test_a_link_in_a_readable_directory_leads_to_nothing_else(listed: Listed) -> None:
    box = listed(read=("src",), write=("src",))
    assert not reads(box, "src/link")
    assert not reads(box, "src/up/inner/k.txt")
    box.run("ln -s ../inner src/more; ln hidden.txt src/hard; mv hidden.txt src/moved")
    for path in ("src/more/k.txt", "src/hard", "src/moved"):
        assert b"1764" not in box.run(f"cat {path}").stdout
    assert b"1764" not in box.run("grep -r 1764 . ; tar -cf - . | strings; git grep 1764").stdout


def test_a_listed_link_grants_nothing(listed: Listed) -> None:
    box = listed(read=("docs", "src/up"), write=("docs",))
    assert not reads(box, "docs/k.txt")
    assert not reads(box, "src/up/hidden.txt")
    assert not writes(box, "docs/new")
    for path in ("/workspace/docs", "/workspace/src/up"):
        assert any(path in note for note in box.seal.notes)


def test_an_empty_list_means_nothing(listed: Listed) -> None:
    box = listed(read=(), write=())
    for path in ("README.md", "src/a.py", "hidden.txt"):
        assert not reads(box, path)
        assert not writes(box, path)
    assert box.run("python3 -c 'print(6 * 7)'").stdout == b"42\n"
    assert box.run("echo x > /tmp/x && cat /tmp/x /etc/passwd | head -1").stdout == b"x\n"


def test_what_is_listed_can_be_written_and_nothing_else(listed: Listed) -> None:
    box = listed(read=("src", "README.md"), write=("src/gen", "/tmp/x"))
    assert writes(box, "src/gen/new.txt")
    assert writes(box, "src/gen/old.txt")
    box.run("mkdir src/gen/deep")
    assert writes(box, "src/gen/deep/er.txt")
    assert reads(box, "src/gen/new.txt")
    assert writes(box, "/tmp/x")
    for path in ("README.md", "src/a.py", "src/new.py", "new.txt", "src/gen/../a.py", "src/link"):
        assert not writes(box, path), path
    assert box.run("rm src/a.py; mv src/gen/old.txt src/; rmdir inner").exit_code != 0
    changed = {change.path for change in box.export().changes}
    assert changed == {b"src/gen/new.txt", b"src/gen/old.txt", b"src/gen/deep/er.txt"}


def test_one_file_can_be_written_and_not_replaced(listed: Listed) -> None:
    box = listed(read=None, write=("README.md",))
    assert writes(box, "README.md")
    assert not writes(box, "README.md.new")
    assert box.run("rm README.md; mv README.md r; ln -sf hidden.txt README.md").exit_code != 0
    assert reads(box, "README.md")
    assert reads(box, "hidden.txt")


def test_what_may_be_written_may_be_read(listed: Listed) -> None:
    box = listed(read=(), write=("inner",))
    assert reads(box, "inner/k.txt")
    assert not reads(box, "hidden.txt")


def test_a_place_that_is_not_there_grants_nothing_and_is_told(listed: Listed) -> None:
    box = listed(read=("later",), write=("build",))
    assert not writes(box, "build/x")
    assert not writes(box, "later")
    for path in ("/workspace/later", "/workspace/build"):
        assert any(path in note for note in box.seal.notes)


@pytest.mark.parametrize("above", ["/", "..", "/workspace", "."])
def test_a_place_above_the_workspace_means_all_of_it(listed: Listed, above: str) -> None:
    box = listed(read=(above,), write=())
    assert reads(box, "hidden.txt")
    assert b"1764" not in box.run("/usr/bin/perl -e 'print 42*42'").stdout


def test_a_place_that_the_agent_makes_later_is_not_granted(listed: Listed) -> None:
    """A rule is for what stands there at the start: what comes under the name later is not it."""
    box = listed(read=("src", "later"), write=("src",))
    box.run("ln -s /workspace src/x; mv src/x later; cp -r inner later; mkdir later")
    assert not reads(box, "hidden.txt")
    assert b"1764" not in box.run("cat later/* src/*/*").stdout


def test_names_and_sizes_can_be_listed_where_contents_can_not(listed: Listed) -> None:
    """Landlock holds contents and lists; `stat` and `cd` are nobody's to refuse."""
    box = listed(read=("src",), write=())
    assert box.run("cd inner && stat -c %s k.txt").stdout == b"12\n"


def test_git_needs_its_directory_among_what_is_read(listed: Listed, workspace: Path) -> None:
    subprocess.run(["git", "init", "-q", str(workspace)], check=True)
    assert listed(read=("src",), write=()).run("git status --short").exit_code != 0
    box = listed(read=("src", ".git"), write=())
    assert b"src/" in box.run("git status --short").stdout
