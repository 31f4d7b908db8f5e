"""What of a workspace is copied into the container, and why something is not."""

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import field, replace

from policies.frozen import dataclass
from policies.policy import History, WorkspaceRules
from sandbox.errors import WorkspaceError
from sandbox.git import alternates
from sandbox.git.ignore import OperatorPatterns
from sandbox.git.linked_tree import LinkedTree
from sandbox.git.path_rules import in_git
from sandbox.patch.values import LeftOut, LeftOutKind
from sandbox.workspace.scan import FoundFile, Scan
from sandbox.workspace.secret_files import SecretsGuard
from sandbox.workspace.submodules import Submodules

WHITEOUT = b".wh."
"""What a name begins with in a layer that removes what bears the rest of it below."""
_ELSEWHERE = (
    "points to a repository elsewhere, which does not say that this is its work tree: git does not "
    "work here in the sandbox"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What of a scan is copied into the container."""

    copied: tuple[FoundFile, ...]
    """Directories, regular files and symlinks; parents before children."""
    left_out: tuple[LeftOut, ...]
    total_bytes: int
    linked: LinkedTree | None
    """As of the scan."""
    borrowing: tuple[bytes, ...] = ()
    """Files that name object directories elsewhere, of the repositories that are copied."""
    pointers: Mapping[bytes, bytes] = field(default_factory=dict)
    """What a submodule's ``.git`` says in the copy, by the path of that file."""


_SPECIAL = {
    stat.S_IFSOCK: "is a socket",
    stat.S_IFIFO: "is a named pipe",
    stat.S_IFBLK: "is a device",
    stat.S_IFCHR: "is a device",
}


def select(looked: Scan, rules: WorkspaceRules) -> Selection:
    """Apply a policy's workspace rules.

    Raises:
        WorkspaceError: more than ``max_bytes`` would be copied, or part of it can't be read.
    """
    exclude = OperatorPatterns(rules.exclude)
    guard = SecretsGuard(looked, rules.secrets)
    left_out: list[LeftOut] = []
    copied: list[FoundFile] = []
    borrowing: list[bytes] = []
    modules = Submodules(looked, history=rules.history)
    skipped: set[bytes] = set()
    total = 0
    for item in looked.rows:
        if item.path.rpartition(b"/")[0] in skipped:
            if stat.S_ISDIR(item.mode):
                skipped.add(item.path)
            continue
        found = _reason(item, rules, exclude, modules) or guard.refusal(item)
        if found is not None:
            if found is _LENT:
                borrowing.append(item.path)
            elif found is not _IDLE:
                left_out.append(replace(found, path=item.path))
            if stat.S_ISDIR(item.mode):
                skipped.add(item.path)
            continue
        copied.append(item)
        if stat.S_ISREG(item.mode):
            total += item.size
    for path, number in looked.unreadable:
        if path not in skipped:
            raise _unlisted(path, number)
    if total > rules.max_bytes:
        raise WorkspaceError(
            f"the workspace holds {total} bytes, more than the policy's workspace.max_bytes "
            f"({rules.max_bytes}): exclude what the task does not need, or raise it"
        )
    return Selection(
        copied=tuple(copied),
        left_out=tuple(left_out),
        total_bytes=total,
        linked=looked.linked,
        borrowing=tuple(borrowing),
        pointers=modules.pointers,
    )


def _unlisted(path: bytes, number: int) -> WorkspaceError:
    """Why a directory could not be listed, by the system's error number."""
    problem, mend = f"can't be read: {os.strerror(number)}", "make it readable"
    if number == errno.EACCES:
        problem = "can't be read by this user"
    elif number == errno.ENAMETOOLONG:
        problem, mend = "has too long a path for this system", "move it further up"
    return WorkspaceError(
        f"the workspace's {os.fsdecode(path) or '.'}/ {problem}: "
        f"{mend}, or exclude it in the policy (workspace.exclude)"
    )


def _reason(
    item: FoundFile, rules: WorkspaceRules, exclude: OperatorPatterns, modules: Submodules
) -> LeftOut | None:
    """Why an entry is not copied; None where nothing speaks against it."""
    kind = stat.S_IFMT(item.mode)
    directory, _, name = item.path.rpartition(b"/")
    if name.startswith(WHITEOUT):
        # Unpacked as a layer, it would remove its neighbour.
        return _left("its name is one that image layers use for themselves")
    if b".git" in directory and in_git(directory):
        return _of_repository(item.path, kind)
    if name == b".git":
        found = None if modules.takes(item) else _top_of_repository(kind, rules)
        if found is not None:
            return found
    if exclude.names(item.path, directory=kind == stat.S_IFDIR):
        return _left("excluded by the policy", LeftOutKind.RULE)
    return _left(_SPECIAL[kind], LeftOutKind.SPECIAL) if kind in _SPECIAL else None


def _top_of_repository(kind: int, rules: WorkspaceRules) -> LeftOut | None:
    if kind != stat.S_IFDIR:
        return _left(_ELSEWHERE, LeftOutKind.UNUSABLE)
    if rules.history is History.NONE:
        return _left("the policy copies no history", LeftOutKind.RULE)
    return None


def _of_repository(path: bytes, kind: int) -> LeftOut | None:
    if kind == stat.S_IFREG and path.endswith(b"/" + alternates.FILE):
        return _LENT
    return _IDLE if kind in _SPECIAL or _idle_git_file(path) else None


def _left(reason: str, kind: LeftOutKind = LeftOutKind.OTHER) -> LeftOut:
    return LeftOut(path=b"", reason=reason, kind=kind)


_IDLE = _left("is git's own and of no use in the copy")
"""What nobody misses, and nobody is told of."""
_LENT = _left("names objects elsewhere")
"""`borrowed` says what becomes of it."""


def _idle_git_file(path: bytes) -> bool:
    name = path.rpartition(b"/")[2]
    return (
        path.endswith(b"/objects/info/alternates")
        or name in (b"FETCH_HEAD", b"index.lock", b"credentials", b"gc.pid")
        or (b"/hooks/" in path and name.endswith(b".sample"))
    )
