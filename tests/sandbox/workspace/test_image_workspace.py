"""A workspace that lies in the image: its tree is the baseline, and everything is as ever."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from foreign_images import foreign
from policies.loading import load
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.errors import WorkspaceError
from sandbox.patch.values import LeftOutKind
from sandbox.sandbox import Sandbox
from sandbox.workspace.source import named

pytestmark = pytest.mark.slow

DOCKERFILE = rb"""
FROM {base}
USER root
ENV GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
COPY make.sh /tmp/make.sh
RUN sh /tmp/make.sh
VOLUME /vol
"""
MAKE = rb"""
set -eu
mkdir -p /testbed/pkg /plain/deep /vol/project /srv/there
cd /testbed
cat > pyproject.toml <<'END'
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "pkg"
version = "1"
[tool.setuptools]
packages = ["pkg"]
END
printf 'def two():\n    return 3\n' > pkg/__init__.py
printf 'import pkg\n\ndef test_two():\n    assert pkg.two() == 2\n' > test_pkg.py
printf '#!/bin/sh\necho ran\n' > tool.sh; chmod 755 tool.sh
printf '*.egg-info\nbuild/\n__pycache__/\n' > .gitignore
ln -s /testbed/tool.sh absolute; ln -s pkg relative; ln tool.sh hard
printf 'TOKEN=abcdefgh\n' > .env; chmod 600 test_pkg.py; mkfifo pipe
git init -qb main; git add .gitignore pyproject.toml pkg test_pkg.py tool.sh absolute relative hard
git commit -qm start; git remote add origin https://user:hidden-word@example.org/x.git
printf 'def two():\n    return 2\n' > pkg/__init__.py; git commit -qam later; git branch later
git reset -q --hard HEAD~1
pip install -q --no-build-isolation --no-deps --break-system-packages -e . 2>/dev/null \
    || /opt/venv/bin/pip install -q --no-build-isolation --no-deps -e .
git clone -q --shared /testbed /borrowing
git -C /testbed worktree add -q /tree main~0
printf 'one\n' > /plain/deep/a.txt; printf 'two\n' > /plain/b.txt
ln -s /testbed /linked; ln -s / /up; printf 'x' > /file
mkdir -p /workspace; printf 'left\n' > /workspace/left; printf 'S=abcdefgh\n' > /workspace/.env
head -c 9000000 /dev/zero > /plain/deep/zeros
"""
PLACES = ("", "/testbed", "/plain", "/borrowing", "/tree", "/workspace")
OpenImage = Callable[..., Sandbox]


@pytest.fixture(scope="module")
def made(engine: Engine, image: str) -> Iterator[str]:
    files = {"Dockerfile": DOCKERFILE.replace(b"{base}", image.encode()), "make.sh": MAKE}
    with foreign(engine, "workspaces", files, moved=PLACES) as reference:
        yield reference


@pytest.fixture
def open_image(engine: Engine, made: str, tmp_path: Path) -> Iterator[OpenImage]:
    """Opens a sandbox on a folder of the image, under the default policy and more lines."""
    opened: list[Sandbox] = []

    def opener(path: str, more: str = "", **options: object) -> Sandbox:
        box = Sandbox.open(
            workspace=named(f"image:{path}"),
            policy=policy(tmp_path, made, more),
            engine=engine,
            **options,  # type: ignore[arg-type]
        )
        opened.append(box)
        return box

    yield opener
    for box in opened:
        box.close()


def policy(directory: Path, image: str, more: str) -> Policy:
    file = directory / "p.yaml"
    file.write_text(f"version: 1\nname: p\nextends: default\nimage: {image}\n{more}\n")
    return load(str(file))


def test_the_tree_is_the_baseline_and_what_names_its_place_works(open_image: OpenImage) -> None:
    box = open_image("/testbed")
    assert box.export().changes == ()
    done = box.run("pwd -P; cd /testbed; pwd -P; git status --short; git log --format=%s --all")
    assert done.stdout == b"/workspace\n/workspace\nlater\nstart\n", done
    assert b"1 failed" in box.run("cd /; python3 -m pytest -q /testbed").stdout
    assert box.run("cd /testbed && ./tool.sh && ./absolute && ./hard").stdout == b"ran\n" * 3
    box.run("sed -i s/3/2/ /testbed/pkg/__init__.py; touch pkg/__pycache__/x; echo new > n.txt")
    assert b"1 passed" in box.run("cd /; python3 -m pytest -q /testbed").stdout
    patch = box.export()
    assert [change.path for change in patch.changes] == [b"n.txt", b"pkg/__init__.py"]
    with box.fresh() as other:
        assert other.run("cat n.txt; git status --short").stdout == b""
        assert other.base_tree == box.base_tree


def test_rules_hold_as_for_a_directory(open_image: OpenImage) -> None:
    box = open_image("/testbed", "workspace: {exclude: [hard], history: head}")
    left = {item.path: item.kind for item in box.left_behind}
    assert left == {
        b".env": LeftOutKind.RULE, b"hard": LeftOutKind.RULE, b"pipe": LeftOutKind.SPECIAL
    }  # fmt: skip
    assert box.run("ls -A").stdout.split() == [
        *(b".git", b".gitignore", b"absolute", b"pkg", b"pyproject.toml", b"relative"),
        *(b"test_pkg.py", b"tool.sh"),
    ]
    assert box.run("git log --all --format=%s").stdout == b"start\n"
    assert box.run("grep -r hidden-word .git; cat /testbed/.env").stdout == b""
    assert box.export().changes == ()


def test_a_second_sandbox_reads_the_image_no_more(open_image: OpenImage) -> None:
    first = open_image("/plain")
    said: list[str] = []
    second = open_image("/plain", on_progress=said.append)
    assert not said
    assert second.container_state.snapshot_key == first.container_state.snapshot_key


def test_a_tree_without_a_repository(open_image: OpenImage) -> None:
    box = open_image("/plain")
    assert set(box.manifest.entries) == {b"b.txt", b"deep/a.txt", b"deep/zeros"}
    assert box.manifest.tracked is None
    box.run("rm b.txt; mv deep/a.txt c.txt")
    assert {change.path for change in box.export().changes} == {b"b.txt", b"c.txt"}


def test_a_tree_where_workspaces_are(open_image: OpenImage) -> None:
    box = open_image("/workspace")
    assert box.run("ls -A; cat left").stdout == b"left\nleft\n"
    assert [item.path for item in box.left_behind] == [b".env"]


@pytest.mark.parametrize("history", ["full", "head"])
def test_a_clone_that_borrows_from_the_image(history: str, open_image: OpenImage) -> None:
    box = open_image("/borrowing", f"workspace: {{history: {history}}}")
    done = box.run("git status --short; git log --format=%s; git fsck && echo whole")
    assert done.stdout == b"start\nwhole\n", done
    [note] = [item for item in box.left_behind if item.kind is LeftOutKind.BORROWED]
    assert ("later commits" in note.reason) is (history == "head")
    assert (box.run("git cat-file -e origin/later").exit_code == 0) is (history == "full")


def test_a_work_tree_of_another_repository_says_that_git_does_not_work(
    open_image: OpenImage,
) -> None:
    box = open_image("/tree")
    [note] = [item for item in box.left_behind if item.path == b".git"]
    assert note.kind is LeftOutKind.UNUSABLE
    box.run("echo new > n.txt")
    assert [change.path for change in box.export().changes] == [b"n.txt"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/nothing", "has nothing at /nothing"),
        ("/testbed/none/x", "has nothing at /testbed/none"),
        ("/file", "no folder"),
        ("/file/x", "/file in it is no folder"),
        ("/linked", "link to '/testbed'"),
        ("/linked/pkg", "/linked in it is a link"),
        ("/up/etc", "/up in it is a link"),
        ("/vol", "volume"),
        ("/vol/project", "volume"),
    ],
)
def test_what_can_be_no_workspace(path: str, words: str, open_image: OpenImage) -> None:
    with pytest.raises(WorkspaceError, match=words):
        open_image(path)


@pytest.mark.parametrize("bytes_", ["1MiB", "8MiB"])
def test_a_tree_that_is_too_large(bytes_: str, open_image: OpenImage) -> None:
    with pytest.raises(WorkspaceError, match="max_bytes"):
        open_image("/plain", f"workspace: {{max_bytes: {bytes_}}}")


def test_a_listed_program_that_lies_in_the_workspace_is_not_granted(open_image: OpenImage) -> None:
    """Else whoever may write it could have anything run under its name."""
    box = open_image("/testbed", "exec_workspace: false\ncommands: [tool.sh, /testbed/tool.sh, cp]")
    box.run("cp /bin/ls /testbed/tool.sh")
    for text in ("/testbed/tool.sh", "/workspace/tool.sh", "PATH=/testbed:$PATH tool.sh"):
        assert box.run(text).exit_code in {126, 127}, text
