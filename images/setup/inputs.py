"""The files of a workspace that its set-up sees: found by the policy's patterns, read as data.

Nothing is followed: a link, a device or a folder where a file is named is an error that says so;
what ``**`` finds of them on its way is none. Nor does that lead into what clients fill themselves.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, TYPE_CHECKING

from policies.policy import Policy
from sandbox.cache import folder_below, regular_file
from sandbox.errors import WorkspaceError
from sandbox.git.ignore import OperatorPatterns
from sandbox.workspace.secret_files import live_secret

if TYPE_CHECKING:
    from sandbox.workspace.image_tree import ImageTree

_TOTAL_BYTES = 64 << 20
_COUNT = 10_000
_DEPTH = 64
_FOLDERS = 50_000
_FILLED = frozenset({".git", ".venv", "node_modules", "target"})
"""Folders that ``**`` does not stand for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupInput:
    path: bytes
    """Relative to the workspace."""
    executable: bool
    content: bytes


def read_inputs(workspace: "Path | ImageTree", policy: Policy) -> tuple[SetupInput, ...]:
    """What ``setup.inputs`` names, sorted by path; a pattern that fits nothing names nothing.

    Raises:
        WorkspaceError: one is no regular file, can't be read, is excluded, or they are too large.
    """
    exclude = OperatorPatterns(policy.workspace.exclude)
    secret = OperatorPatterns(policy.workspace.secrets)
    found: dict[bytes, SetupInput] = {}
    total = 0
    for pattern in policy.setup.inputs:
        for path in _matching(workspace, pattern):
            if path in found:
                continue
            if exclude.cover(path):
                raise _refused(path, "is excluded by the policy (workspace.exclude)")
            if secret.cover(path):
                raise _refused(path, "may hold a secret (workspace.secrets)")
            one = _read(workspace, path, _TOTAL_BYTES - total)
            total += len(one.content)
            found[path] = one
            if len(found) > _COUNT:
                raise WorkspaceError(
                    f"setup.inputs names more than {_COUNT} files: name manifests and lock files"
                )
    return tuple(found[path] for path in sorted(found))


def _read(workspace: "Path | ImageTree", path: bytes, left: int) -> SetupInput:
    try:
        with _opened(workspace, path) as file:
            executable = _is_executable(workspace, path, file)
            content = file.read(left + 1)
    except OSError as error:
        raise _refused(path, f"is no regular file that can be read ({error})") from error
    if len(content) > left:
        raise _refused(path, f"is too large: set-up takes {_TOTAL_BYTES >> 20} MiB in all")
    if kind := live_secret(content):
        raise _refused(path, f"holds what looks like a live secret, a {kind}")
    return SetupInput(path=path, executable=executable, content=content)


def _is_executable(workspace: "Path | ImageTree", path: bytes, file: IO[bytes]) -> bool:
    if not isinstance(workspace, Path):
        return any(row[0] == path and row[1] & 0o100 for row in workspace.rows)
    return bool(os.fstat(file.fileno()).st_mode & 0o100)


def _opened(workspace: "Path | ImageTree", path: bytes) -> IO[bytes]:
    """A file of the workspace, reached by no link. Raises `OSError`."""
    if not isinstance(workspace, Path):
        return workspace.open_file(path)
    *folders, name = path.split(b"/")
    with folder_below(workspace, folders) as directory:
        return regular_file(name, directory=directory, buffering=0)


def _refused(path: bytes, why: str) -> WorkspaceError:
    return WorkspaceError(
        f"set-up can't take the input {os.fsdecode(path)!r}: it {why}; change setup.inputs"
    )


def _matching(workspace: "Path | ImageTree", pattern: str) -> Iterator[bytes]:
    if isinstance(workspace, Path):
        yield from _matching_on_host(workspace, pattern)
        return
    parts = _parts(pattern)
    magic = any(character in parts[-1] for character in "*?[")
    named = "**" not in parts
    for path, mode, *_ in workspace.rows:
        fits = _fits(tuple(os.fsdecode(path).split("/")), parts)
        if fits and not (magic and stat.S_ISDIR(mode)) and (named or stat.S_ISREG(mode)):
            yield path


def _parts(pattern: str) -> tuple[str, ...]:
    parts = tuple(part for part in pattern.split("/") if part not in {"", "."})
    if ".." in parts or not parts:
        raise WorkspaceError(f"setup.inputs: {pattern!r} names no files of the workspace")
    return parts


def _fits(names: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Whether the names of a path fit the parts of a pattern."""
    if not names or not parts:
        return not names and not parts
    if parts[0] == "**":
        rest = parts[1:] or ("*",)
        return any(
            _fits(names[skipped:], rest)
            for skipped in range(len(names))
            if _FILLED.isdisjoint(names[:skipped])
        )
    return fnmatchcase(names[0], parts[0]) and _fits(names[1:], parts[1:])


def _matching_on_host(workspace: Path, pattern: str) -> Iterator[bytes]:
    """Paths that a pattern fits, from the top of the workspace: ``*`` within a name, ``**`` for any
    folders. Only folders that a pattern can lead into are looked at."""
    parts = _parts(pattern)
    waiting: list[tuple[str, tuple[str, ...]]] = [("", parts)]
    seen = set(waiting)
    while waiting:
        for path, rest in _step(workspace, *waiting.pop()):
            if not rest:
                if "**" not in parts or _is_regular(workspace / path):
                    yield os.fsencode(path)
            elif (path, rest) not in seen and path.count("/") <= _DEPTH:
                seen.add((path, rest))
                waiting.append((path, rest))
        if len(seen) > _FOLDERS:
            raise WorkspaceError(f"setup.inputs: {pattern!r} looks in too many folders: name some")


def _step(
    workspace: Path, folder: str, parts: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Where the first part of a pattern leads from a folder: paths, each with the parts left, and
    none for what the pattern fits."""
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield folder, rest or ("*",)
        for entry in _entries(workspace / folder):
            if entry.is_dir(follow_symlinks=False) and entry.name not in _FILLED:
                yield f"{folder}{entry.name}/", parts
    elif not any(character in part for character in "*?["):
        if rest:
            yield f"{folder}{part}/", rest
        elif os.path.lexists(workspace / folder / part):
            yield folder + part, ()
    else:
        for entry in _entries(workspace / folder):
            if fnmatchcase(entry.name, part) and bool(rest) == entry.is_dir(follow_symlinks=False):
                yield f"{folder}{entry.name}" + ("/" if rest else ""), rest


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        # A link would lead out: only what is a folder itself is listed.
        if not stat.S_ISDIR(os.lstat(str(folder).rstrip("/")).st_mode):
            return []
        with os.scandir(folder) as rows:
            return list(rows)
    except OSError:
        return []
