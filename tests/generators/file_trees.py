"""Trees of files as values, on disk, and as a baseline: what the tests of patches are made of."""

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from agent.risk.gate import COMPARED
from sandbox.git.manifest import EXECUTABLE, FILE, SYMLINK, Manifest, ManifestEntry
from sandbox.git.store import Store
from sandbox.patch.make import make_patch
from sandbox.patch.values import Patch

World = dict[bytes, tuple[int, bytes]]
"""Mode and content (of a link: its target) by path."""


def file(content: bytes = b"content\n") -> tuple[int, bytes]:
    return FILE, content


def program(content: bytes = b"#!/bin/sh\n") -> tuple[int, bytes]:
    return EXECUTABLE, content


def link(target: bytes) -> tuple[int, bytes]:
    return SYMLINK, target


def write_world(directory: Path, world: World) -> None:
    root = os.fsencode(directory)
    os.makedirs(root, exist_ok=True)
    for path, (mode, content) in world.items():
        full = root + b"/" + path
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if mode == SYMLINK:
            os.symlink(content, full)
        else:
            with open(full, "wb") as out:
                out.write(content)
            os.chmod(full, 0o755 if mode == EXECUTABLE else 0o644)


def read_world(directory: Path) -> World:
    """Every file and link below it, but for a ``.git`` at its root."""
    found: World = {}
    root = os.fsencode(directory)
    for above, folders, names in os.walk(root):
        if above == root and b".git" in folders:
            folders.remove(b".git")
        links = [name for name in folders if os.path.islink(os.path.join(above, name))]
        for name in (*names, *links):
            full = os.path.join(above, name)
            path = os.path.relpath(full, root)
            status = os.lstat(full)
            if stat.S_ISLNK(status.st_mode):
                found[path] = link(os.readlink(full))
            else:
                with open(full, "rb") as source:
                    content = source.read()
                found[path] = (EXECUTABLE if status.st_mode & 0o100 else FILE, content)
    return found


def entries(store: Store, world: World) -> dict[bytes, ManifestEntry]:
    return {
        path: ManifestEntry(mode, store.put((content,), len(content)), len(content))
        for path, (mode, content) in world.items()
    }


def manifest(store: Store, world: World) -> Manifest:
    return Manifest(entries=entries(store, world), tracked=None, rule_files={})


def changes(store: Store, old: World, new: World) -> Mapping[bytes, ManifestEntry | None]:
    after = entries(store, new)
    return {path: after.get(path) for path in {*old, *new} if old.get(path) != new.get(path)}


def patch_between(store: Store, old: World, new: World) -> Patch:
    return make_patch(store, manifest(store, old), changes(store, old, new), compared=COMPARED)


def user_git(directory: Path, *arguments: str | bytes, stdin: bytes = b"") -> bytes:
    """git as a user would run it in a checkout of theirs, without this machine's settings."""
    program_path = shutil.which("git")
    assert program_path, "these tests need git"
    done = subprocess.run(
        [program_path, *arguments],
        cwd=directory,
        input=stdin,
        capture_output=True,
        check=False,
        env={"PATH": os.defpath, "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"},
    )
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


def user_commit(directory: Path) -> str:
    """Commit all that stands there; gives the tree id that git itself finds."""
    user_git(directory, "init", "-q")
    user_git(directory, "add", "-A", "-f")
    return user_git(directory, "write-tree").decode().strip()


def is_loop(path: bytes) -> bool:
    try:
        os.stat(path)
    except OSError as problem:
        return problem.errno == errno.ELOOP
    return False
