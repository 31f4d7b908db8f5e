"""Random trees on the host, and random changes made to them by a program in the container.

Nothing here knows what the result should be: what stands in the container afterwards is read by
the engine, and held against what the patch makes of the copy on the host.
"""
# ruff: noqa: E501 - the program is text for a container, and dense

import contextlib
import dataclasses
import io
import os
import random
import shutil
import tarfile
from pathlib import Path
from typing import cast

from generators.file_trees import World, is_loop, link, read_world, user_git, write_world
from generators.random_file_trees import put
from policies.loading import load
from sandbox.apply.directory import apply_patch
from sandbox.engine.docker import Engine
from sandbox.git.manifest import EXECUTABLE, FILE
from sandbox.git.path_rules import leaves_tree
from sandbox.sandbox import Sandbox

# Also the source of the program: the same names and contents are made on both sides.
_SOURCES = r"""
import os, random, stat, sys

NAMES = [b"a", b"A", b"b", b"B", b"dir", b"Dir", b"deep", b" ", b"sp ace", b" lead", b"trail ", b"-rf", b"--",
         b'quo"te', b"tab\there", b"new\nline", b"back\\slash", b"latin\xe9", b"\xff\xfe", b"\x01\x7f", b".hidden",
         b"*", b"{x => y}", b"=>", b"dev", b"null", b"cr\r", b"\xc3\xbc", b"u\xcc\x88", b"x" * 200, b"package.json"]
LINES = [b"one\n", b"two\n", b"\n", b"crlf\r\n", b"lone\rcr\n", b"form\x0cfeed\n", b"latin \xe9\n",
         b"sep\xe2\x80\xa8arator\n", b" \t trailing \n", b"--- a/x\n", b"+++ b/x\n", b"@@ -1 +1 @@\n",
         b"diff --git a/x b/x\n", b"\\ No newline at end of file\n", b"-- \n", b"GIT binary patch\n", b"literal 5\n"]

def name(r):
    if r.random() < 0.8:
        return r.choice(NAMES)
    return bytes(r.choice([n for n in range(1, 256) if n != 47]) for _ in range(r.randint(1, 5))) + b"_"

def text(r):
    end = r.choice([b"", b"", b"no newline", b"\r", b"\xff", b"\r\n"])
    return b"".join(r.choice(LINES) for _ in range(r.randint(0, 40))) + end

def content(r):
    kind = r.random()
    if kind < 0.1:
        return b""
    if kind < 0.3:
        return bytes(r.getrandbits(8) for _ in range(r.randint(1, 400)))
    if kind < 0.33:
        return bytes(r.getrandbits(8) for _ in range(97)) * 4000
    return text(r)
"""

PROGRAM = (
    _SOURCES
    + r"""
def everything(top):
    found = []
    for above, folders, names in os.walk(top):
        if b".git" in folders:
            folders.remove(b".git")
        found += [os.path.join(above, one) for one in folders + names]
    return sorted(found)

def put(path, data):
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError("a pipe would be waited for")
    with open(path, "wb") as file:
        file.write(data)

def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        for one in reversed(everything(path)):
            if os.path.isdir(one) and not os.path.islink(one):
                os.rmdir(one)
            else:
                os.unlink(one)
        os.rmdir(path)
    else:
        os.unlink(path)

def change(r, top):
    there = everything(top)
    old = r.choice(there) if there else top
    folders = [top] + [one for one in there if os.path.isdir(one) and not os.path.islink(one)]
    new = os.path.join(r.choice(folders), name(r))
    regular = os.path.isfile(old) and not os.path.islink(old)
    kind = r.choice(["put", "put", "edit", "edit", "edit", "append", "cut", "mode", "oddmode", "remove", "rename",
                     "rename", "over", "link", "linkover", "descend", "flatten", "case", "empty", "hard", "pipe", "same",
                     "swap", "copy", "deep", "repository", "old", "dirlink"])
    if kind == "put":
        put(new, content(r))
    elif kind == "edit" and regular:
        with open(old, "rb") as file:
            data = file.read()
        at = r.randint(0, len(data)); to = r.randint(at, min(len(data), at + 60))
        put(old, data[:at] + text(r) + data[to:])
    elif kind == "append" and regular:
        with open(old, "ab") as file:
            file.write(content(r))
    elif kind == "cut" and regular:
        os.truncate(old, r.randint(0, os.path.getsize(old)))
    elif kind == "mode" and not os.path.islink(old):
        os.chmod(old, r.choice([0o755, 0o755, 0o644]))
    elif kind == "oddmode" and regular:
        os.chmod(old, r.choice([0o600, 0o4755, 0o2755, 0o1644, 0, 0o100, 0o777, 0o654, 0o611]))
    elif kind == "remove":
        remove(old)
    elif kind == "rename":
        os.rename(old, new)
    elif kind == "over":
        os.rename(old, r.choice(there))
    elif kind == "link":
        os.symlink(r.choice([name(r), b"nowhere", b"a/b", b"./a"]), new)
    elif kind == "linkover":
        remove(old); os.symlink(name(r), old)
    elif kind == "descend":
        remove(old); os.mkdir(old); put(os.path.join(old, name(r)), content(r))
    elif kind == "flatten":
        remove(old); put(old, content(r))
    elif kind == "case":
        above, last = os.path.split(old)
        os.rename(old, os.path.join(above, last.swapcase()))
    elif kind == "empty":
        os.mkdir(new)
    elif kind == "hard" and regular:
        os.link(old, new)
    elif kind == "pipe":
        os.mkfifo(new)
    elif kind == "same" and regular:
        with open(old, "rb") as file:
            data = file.read()
        put(old, data)
    elif kind == "swap" and len(there) > 1:
        other = r.choice(there)
        os.rename(old, top + b"/swap"); os.rename(other, old); os.rename(top + b"/swap", other)
    elif kind == "copy" and regular:
        with open(old, "rb") as file:
            put(new, file.read())
    elif kind == "deep":
        where = os.path.join(new, name(r), name(r)); os.makedirs(where); put(os.path.join(where, name(r)), content(r))
    elif kind == "repository":
        os.makedirs(os.path.join(new, b".git/objects")); put(os.path.join(new, b".git/HEAD"), b"ref: refs/heads/x\n")
        put(os.path.join(new, b"inside"), content(r))
    elif kind == "old" and regular:
        put(old, content(r)); os.utime(old, (1, 1))
    elif kind == "dirlink":
        remove(old); os.symlink(os.path.basename(r.choice(folders)), old)

seed, cases = int(sys.argv[1]), int(sys.argv[2])
done = 0
for case in range(cases):
    r = random.Random(seed * 1000003 + case)
    for _ in range(r.randint(1, 9)):
        try:
            change(r, b"c%04d" % case)
            done += 1
        except (OSError, IndexError):
            pass
print("done", done)
"""
)

_GIT = (
    "true",
    "rm -rf .git",
    "git add -A >/dev/null 2>&1; git -c user.name=a -c user.email=a@b commit -qm all",
    "rm -rf .git; git init -q .; git add -A >/dev/null 2>&1; git -c user.name=a -c user.email=a@b commit -qm x",
    "echo 'ref: refs/heads/gone' > .git/HEAD; printf '*\\n' > .git/info/exclude",
)


_NOTES = ("is a socket, pipe or device", "is an empty directory", "has mode ")
"""Reasons that do not say that a file is as it was."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Under which policy, and whether the container is killed before it is exported."""

    exec_workspace: bool
    dies: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    inexact: dict[bytes, str]
    left_out: dict[bytes, str]
    changes: int
    odd_modes: dict[bytes, int]
    """Mode of each changed file that git has no mode for."""
    empty: set[bytes]
    """Directories with nothing in them."""


def make_trees(workspace: Path, *, seed: int, cases: int) -> World:
    """Trees in `cases` folders of a repository with changes of its user's own."""
    made: dict[str, object] = {}
    exec(compile(_SOURCES, "sources", "exec"), made)
    any_name, any_content = made["name"], made["content"]
    world: World = {}
    for case in range(cases):
        r = random.Random(seed * 7919 + case)
        for _ in range(r.randint(0, 9)):
            parts = [any_name(r) for _ in range(r.randint(1, 3))]  # type: ignore[operator]
            path = b"/".join((b"c%04d" % case, *parts))
            if r.random() < 0.15:
                put(world, path, link(any_name(r)))  # type: ignore[operator]
            else:
                mode = EXECUTABLE if r.random() < 0.25 else FILE
                put(world, path, (mode, any_content(r)))  # type: ignore[operator]
        world.setdefault(b"c%04d/first" % case, (FILE, b"first\n"))
    world[b".gitignore"] = (FILE, b"*.ignored\n" if seed % 2 else b"lat*\n!latin*\n/c*/deep\n")
    write_world(workspace, world)
    loops = [path for path in world if is_loop(os.fsencode(workspace) + b"/" + path)]
    for path in loops:  # git apply gives up on these: see test_exactness
        full = os.fsencode(workspace) + b"/" + path
        os.unlink(full)
        with contextlib.suppress(OSError):
            os.removedirs(os.path.dirname(full))  # nor goes a folder of empty folders for a file
        del world[path]
    user_git(workspace, "init", "-q")
    tracked = [b"c%04d" % case for case in range(0, cases, 2)]
    user_git(workspace, "add", "-A", "--", *tracked)
    user_git(workspace, "-c", "user.name=t", "-c", "user.email=t@u", "commit", "-qm", "some")
    for case in range(0, cases, 4):  # uncommitted: part of the baseline, not of the patch
        path = b"c%04d/first" % case
        if path in world and world[path][0] == FILE:
            world[path] = (FILE, b"the user's own\n" + world[path][1])
            (workspace / os.fsdecode(path)).write_bytes(world[path][1])
    assert read_world(workspace) == world
    return world


def run(
    engine: Engine,
    workspace: Path,
    room: Path,
    *,
    seed: int,
    cases: int,
    way: Way,
) -> Outcome:
    """Change, export, apply twice, compare."""
    old = make_trees(workspace, seed=seed, cases=cases)
    policy = load("default")
    policy = dataclasses.replace(policy, exec_workspace=way.exec_workspace)
    with Sandbox.open(workspace=workspace, policy=policy, engine=engine) as box:
        box.write_file("/tmp/change.py", PROGRAM.encode())
        said = box.run(f"umask 022; python3 /tmp/change.py {seed} {cases}", timeout_s=120)
        assert said.exit_code == 0, said
        assert int(said.stdout.split()[1]) > cases, said
        box.run(_GIT[seed % len(_GIT)])
        if way.dies:
            engine.kill(box.id)
        patch = box.export()
        new, odd, empty = _standing(engine, box.id)
    left_out = {item.path: item.reason for item in patch.left_out}
    touched = {path for path in {*old, *new} if old.get(path) != new.get(path)}
    expected = dict(new)
    for path, reason in left_out.items():
        if path in touched and not reason.startswith(_NOTES):
            expected.pop(path, None)
            if path in old:
                expected[path] = old[path]
    ours, gits = room / "ours", room / "gits"
    for copy in (ours, gits):
        shutil.copytree(workspace, copy, symlinks=True)
    inexact: dict[bytes, str] = {}
    user_git(gits, "apply", "--whitespace=nowarn", stdin=patch.data)
    inexact |= _differences(read_world(gits), expected, "git apply")
    leaving = [path for path, target in patch.links.items() if leaves_tree(path, target)]
    if not leaving:
        apply_patch(patch.data, ours, check=False)
        inexact |= _differences(read_world(ours), expected, "moonpool apply")
    return Outcome(
        inexact=inexact,
        left_out=left_out,
        changes=len(patch.changes),
        odd_modes={path: mode for path, mode in odd.items() if path in touched or path not in old},
        empty=empty,
    )


def _differences(found: World, expected: World, by: str) -> dict[bytes, str]:
    return {
        path: f"{by}: {found.get(path)!r:.200} and not {expected.get(path)!r:.200}"
        for path in {*found, *expected}
        if found.get(path) != expected.get(path)
    }


def _standing(engine: Engine, container: str) -> tuple[World, dict[bytes, int], set[bytes]]:
    """What the engine says stands there: files and links, odd modes, empty directories."""
    data = b"".join(engine.get_archive(container, "/workspace"))
    world: World = {}
    odd: dict[bytes, int] = {}
    folders: set[bytes] = set()
    filled: set[bytes] = set()
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            path = (
                member.name.removeprefix("workspace").lstrip("/").encode("utf-8", "surrogateescape")
            )
            filled.add(path.rpartition(b"/")[0])
            if b"/.git/" in b"/" + path + b"/" or not path:
                continue
            if member.isdir():
                folders.add(path)
            elif member.issym():
                world[path] = link(member.linkname.encode("utf-8", "surrogateescape"))
            elif member.islnk() or member.isreg():
                file = cast("io.BufferedReader", tar.extractfile(member))
                world[path] = (EXECUTABLE if member.mode & 0o100 else FILE, file.read())
                if member.mode & 0o7777 not in (0o644, 0o755):
                    odd[path] = member.mode & 0o7777
    return world, odd, folders - filled
