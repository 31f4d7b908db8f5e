"""Branches of a stranger's repository: what HEAD is, and making a new one, without git.

Owns git's files for that (gitrepository-layout(5)). Follows no link, so that nothing is read or
written outside of the ``.git`` that is open.
"""

import os
import re
from contextlib import suppress

from sandbox.apply.target import NEW_FILE, Target
from sandbox.cache import InTheWayError
from sandbox.errors import PatchError

_LIMIT_BYTES = 1 << 24
_CHAIN_LIMIT = 5
_COMMIT = re.compile(rb"[0-9a-f]{40}")
# git-check-ref-format(1), for a name below refs/heads.
_BAD_NAME = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^/|/$|(?:^|/)\.|\.(?:$|/)|\.lock(?:$|/)|^-|^@$|^HEAD$"
)


def head(git: Target, own: Target) -> str:
    """The commit that HEAD leads to, 40 hex digits. Raises `PatchError` where there is none.

    Args:
        own: where HEAD is: of a linked work tree, its own directory.
    """
    value = _read(own, b"HEAD")
    for _ in range(_CHAIN_LIMIT):
        if value is None:
            raise PatchError("the target's repository has no commit yet: commit something first.")
        value = value.strip()
        if _COMMIT.fullmatch(value):
            return value.decode()
        name = value.removeprefix(b"ref: ")
        if name == value or not name.startswith(b"refs/") or b".." in name or b"\0" in name:
            break
        if name == b"refs/heads/.invalid":
            raise PatchError(
                "the target's repository keeps its branches in a reftable, which Moonpool does "
                "not read: apply without --branch."
            )
        value = _read(git, name) or _packed(git).get(name)
    raise PatchError(
        "HEAD of the target's repository can't be read (a SHA-256 repository, or a damaged one): "
        "apply without --branch."
    )


def refuse_name(git: Target, branch: str) -> None:
    """Raise `PatchError` where no new branch can have this name."""
    if not branch or len(branch) > 200 or _BAD_NAME.search(branch):
        raise PatchError(f"{branch!r} is no name for a branch.")
    name = b"refs/heads/" + os.fsencode(branch)
    packed = _packed(git)
    if name in packed or _read(git, name) is not None:
        raise PatchError(f"there is a branch {branch!r} already: choose another name.")
    for other in packed:
        if other.startswith(name + b"/") or name.startswith(other + b"/"):
            raise PatchError(f"the branch {os.fsdecode(other)!r} leaves no place for {branch!r}.")


def make_branch(git: Target, branch: str, commit: str) -> None:
    """Make the branch. Raises `PatchError` where it is there already."""
    path = b"refs/heads/" + os.fsencode(branch)
    try:
        end = path.find(b"/")
        while end > 0:
            with git.parent(path[:end]) as (directory, name), suppress(FileExistsError):
                os.mkdir(name, dir_fd=directory)
            end = path.find(b"/", end + 1)
        with git.parent(path) as (directory, name):
            # As git does it: the name comes to be with all that stands in it, or not at all.
            lock = name + b".lock"
            with open(os.open(lock, NEW_FILE, 0o644, dir_fd=directory), "wb") as file:
                try:
                    file.write(commit.encode() + b"\n")
                    file.flush()
                    os.link(lock, name, src_dir_fd=directory, dst_dir_fd=directory)
                finally:
                    os.unlink(lock, dir_fd=directory)
    except FileExistsError:
        raise PatchError(f"there is a branch {branch!r} already: choose another name.") from None
    except InTheWayError as way:
        raise PatchError(
            f"the branch {branch!r} can't be made: {os.fsdecode(way.path)!r} in the target's .git "
            "is a link or a file."
        ) from None


def _packed(git: Target) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for line in (_read(git, b"packed-refs") or b"").splitlines():
        commit, _, name = line.partition(b" ")
        if _COMMIT.fullmatch(commit):
            found[name] = commit
    return found


def _read(git: Target, path: bytes) -> bytes | None:
    with suppress(IsADirectoryError), git.file(path) as file:
        return None if file is None else os.pread(file, _LIMIT_BYTES, 0)
    return None
