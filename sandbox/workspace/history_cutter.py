"""Cuts every repository of a workspace copy down to its newest commit; runs inside the container.

Owns what is left of a repository: what stands in the lists here, and the objects of one commit. It
is Python 3.8 and its standard library. The repositories are an adversary's, so whatever is on no
list goes, and a repository that git can't read is left with nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator

KEPT = {
    b"HEAD", b"config", b"config.worktree", b"description", b"hooks", b"info", b"modules",
}  # fmt: skip
KEPT_INFO = {
    b"exclude", b"attributes", b"sparse-checkout", b"personal-exclude", b"personal-attributes",
}  # fmt: skip
UNREADABLE = 3
PATH = "/opt/moonpool/rt/bin:/usr/local/bin:/usr/bin:/bin"
"""In an image that is not ours, our own git comes first."""
_POINTER_LIMIT = 1 << 13


def main(top: bytes) -> None:
    """Exits with `UNREADABLE` where git can't read the repository of the workspace, `top`."""
    modules = top + b"/.git/modules"
    found = dict(_repositories(top, modules))
    for directory, tree in found.items():
        _CopiedRepository(directory, tree, is_main=directory == top + b"/.git").cut()
    if os.path.isdir(modules):
        _remove_unused(modules, set(found))


def _repositories(top: bytes, modules: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The directory of each repository, and its work tree."""
    for folder, folders, files in os.walk(top):
        path = os.path.join(folder, b".git")
        if b".git" in folders:
            folders.remove(b".git")
            if not os.path.islink(path):
                yield path, folder
        elif b".git" in files and not os.path.islink(path):
            with open(path, "rb") as file:
                said = file.read(_POINTER_LIMIT).rstrip(b"\r\n").replace(b"gitdir: ", b"", 1)
            where = os.path.realpath(os.path.join(folder, said))
            if where.startswith(modules + b"/") and os.path.isdir(where):
                yield where, folder


class _GitFailed(Exception):
    """git can't read a repository."""


class _CopiedRepository:
    def __init__(self, directory: bytes, tree: bytes, *, is_main: bool) -> None:
        self._directory = directory
        self._is_main = is_main
        self._tree = tree

    def cut(self) -> None:
        objects = self._directory + b"/objects"
        made = objects + b".new"
        _remove(made)
        os.makedirs(made + b"/pack")
        os.mkdir(made + b"/info")
        commit = b""
        tags: dict[bytes, bytes] = {}
        hidden: set[bytes] = set()
        try:
            self._git("rev-parse", "--git-dir")
            commit = self._try("rev-parse", "-q", "--verify", "HEAD^0")[1].strip()
            if commit:
                tags = self._tags(commit)
                self._pack(commit, tags.values(), made + b"/pack/pack")
                rows = self._try("ls-files", "-t", "-z")[1].split(b"\0")
                hidden = {row[2:] for row in rows if row.startswith(b"S ")}
        except _GitFailed:
            if self._is_main and any(_files(objects)):
                sys.exit(UNREADABLE)
            commit = b""
        for folder, kept in ((self._directory, KEPT), (self._directory + b"/info", KEPT_INFO)):
            for name in os.listdir(folder) if os.path.isdir(folder) else ():
                if name not in kept and os.path.join(folder, name) != made:
                    _remove(os.path.join(folder, name))
        os.rename(made, objects)
        os.makedirs(self._directory + b"/refs/heads")
        if commit:
            self._point(commit, tags, hidden)

    def _tags(self, commit: bytes) -> dict[bytes, bytes]:
        form = "--format=%(refname) %(objectname)"
        rows = self._git("for-each-ref", "--points-at", commit, form, "refs/tags")
        return {row.partition(b" ")[0]: row.partition(b" ")[2] for row in rows}

    def _pack(self, commit: bytes, tags: Iterable[bytes], to: bytes) -> None:
        """The commit without what came before; what a partial clone lacks is not asked for."""
        rows = self._git("rev-list", "--objects", "--no-walk", "--missing=allow-any", commit)
        ids = dict.fromkeys([row.partition(b" ")[0] for row in rows] + list(tags))
        self._git("pack-objects", "-q", to, stdin=b"".join(each + b"\n" for each in ids))

    def _point(self, commit: bytes, tags: dict[bytes, bytes], hidden: set[bytes]) -> None:
        """Have the repository stand at its one commit. `hidden`: what a sparse checkout lacks."""
        with open(self._directory + b"/shallow", "wb") as file:
            file.write(commit + b"\n")
        self._git("update-ref", "HEAD", commit)
        for name, target in tags.items():
            self._git("update-ref", name, target)
        self._try("read-tree", commit)
        hidden &= set(self._try("ls-files", "-z")[1].split(b"\0"))
        names = b"".join(name + b"\0" for name in sorted(hidden))
        self._try("update-index", "-z", "--skip-worktree", "--stdin", stdin=names)
        self._try("update-index", "-q", "--refresh")

    def _git(self, *words: str | bytes, stdin: bytes = b"") -> list[bytes]:
        """The lines that git prints. Raises `_GitFailed` where it fails."""
        good, said = self._try(*words, stdin=stdin)
        if not good:
            raise _GitFailed
        return said.splitlines()

    def _try(self, *words: str | bytes, stdin: bytes = b"") -> tuple[bool, bytes]:
        done = subprocess.run(
            [  # noqa: S607 - by the path below
                "git", "-c", "protocol.allow=never", "-c", "core.logAllRefUpdates=false",
                "--git-dir", self._directory, "--work-tree", self._tree, *words,
            ],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._tree,
            env={
                "PATH": PATH,
                "HOME": "/nonexistent",
                "LC_ALL": "C",
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_NO_REPLACE_OBJECTS": "1",
                "GIT_NO_LAZY_FETCH": "1",
                "GIT_TERMINAL_PROMPT": "0",
            },
            check=False,
        )  # fmt: skip
        return done.returncode == 0, done.stdout


def _files(top: bytes) -> Iterator[bytes]:
    for _, _, files in os.walk(top):
        yield from files


def _remove_unused(folder: bytes, used: set[bytes]) -> None:
    """Repositories of submodules that are not checked out."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if path in used:
            if os.path.isdir(path + b"/modules"):
                _remove_unused(path + b"/modules", used)
        elif any(each.startswith(path + b"/") for each in used):
            _remove_unused(path, used)
        else:
            _remove(path)


def _remove(path: bytes) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


if __name__ == "__main__":
    main(os.fsencode(sys.argv[1]))
