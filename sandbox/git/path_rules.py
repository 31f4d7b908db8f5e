"""Which paths and links a patch may carry, and which new ones collide with others.

Owns the rules, as functions of bytes. Knows no file system: what a name turns into on another
system (macOS, Windows) counts here too, for the patch may be applied there. Both compare names
without case, macOS without their Unicode form too: there, two such files are one, and the one that
is written last wins.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

from sandbox.git.manifest import Trees

PATH_LIMIT_BYTES = 4095
"""What Linux takes in one call; nothing longer can be written on the other side."""
_DEPTH_LIMIT = 1000
_NAME_LIMIT_BYTES = 255

# Code points that HFS+ leaves out when it compares names (git: utf8.c, next_hfs_char).
_HFS_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
# NTFS drops dots and spaces at the end, and a colon starts a stream of the file before it; a
# backslash parts folders. `git~1` is the short name that Windows makes up for `.git`.
_NTFS_DOT_GIT = re.compile(rb"(?i)(\.git|git~1)[ .]*(:|$)")
# As a link, git refuses .gitmodules, under each of its names.
_DOT_GITMODULES = re.compile(
    rb"(?i)(\.gitmodules|gitmod~[1-4]|(g(i(7(e(ba?)?)?)?)?)?~[1-9]\d*)[ .]*(:|$)"
)


def refusal(path: bytes) -> str | None:
    """Why a patch can't carry this path; None where it can."""
    if not path or path[0] == 0x2F or b"\0" in path:
        return "not a path inside the workspace"
    if len(path) > PATH_LIMIT_BYTES:
        return f"a path longer than {PATH_LIMIT_BYTES} bytes"
    parts = path.split(b"/")
    if len(parts) > _DEPTH_LIMIT:
        return f"nested deeper than {_DEPTH_LIMIT} folders"
    return next(filter(None, map(_part_refusal, parts)), None)


def _part_refusal(part: bytes) -> str | None:
    if part in {b"", b".", b".."}:
        return "not a path inside the workspace"
    if len(part) > _NAME_LIMIT_BYTES:
        return f"a name longer than {_NAME_LIMIT_BYTES} bytes"
    if is_dot_git(part):
        return "part of a git directory, or a name that another system takes for one"
    return None


def link_refusal(path: bytes, target: bytes) -> str | None:
    """Why a patch can't carry a link of this path with this target, wherever it leads."""
    if not target or b"\0" in target or len(target) > PATH_LIMIT_BYTES:
        return "a link that no file system can hold"
    name = path.rpartition(b"/")[2]
    if any(_DOT_GITMODULES.match(part) for part in _seen_elsewhere(name)):
        return "a link in place of .gitmodules, which git refuses"
    return None


def is_dot_git(name: bytes) -> bool:
    """Whether some system takes this name for ``.git``."""
    if b"git" not in name.lower() and name.isascii():
        return False
    return any(_NTFS_DOT_GIT.match(part) for part in _seen_elsewhere(name))


def leaves_tree(path: bytes, target: bytes) -> bool:
    """Whether a link at `path` with this target can lead out of the tree.

    ``..`` after a name counts as leaving: where that name is itself a link to a folder nearer the
    root, it does. So a link that stays inside climbs first and then only descends.
    """
    if target.startswith((b"/", b"\\")) or re.match(rb"[A-Za-z]:[\\/]", target):
        return True
    depth = path.count(b"/")
    descended = False
    for part in target.replace(b"\\", b"/").split(b"/"):
        if part == b"..":
            depth -= 1
            if descended or depth < 0:
                return True
        elif part not in {b"", b"."}:
            descended = True
    return False


def above(path: bytes) -> Iterator[bytes]:
    """The directories that a path lies in, the nearest first; the uppermost one has no name."""
    while path := path.rpartition(b"/")[0]:
        yield path


def all_above(paths: Iterable[bytes]) -> set[bytes]:
    """The directories that any of these paths lies in."""
    found: set[bytes] = set()
    for path in paths:
        for folder in above(path):
            if folder in found:
                break
            found.add(folder)
    return found


def in_git(path: bytes) -> bool:
    """Whether it lies below a ``.git``: no patch touches that."""
    return b"/.git/" in b"/" + path + b"/"


def folded_path(path: bytes) -> bytes:
    """As systems compare it that know no case, take ``\\`` for ``/``, a colon for the start of a
    stream, and leave out dots and spaces at the end of a name and what is not seen in it."""
    parts = b"/".join(_seen_elsewhere(path)).split(b"/")
    names = (part.partition(b":")[0].rstrip(b" .") or part for part in parts)
    path = b"/".join(names)
    if path.isascii():
        return path.lower()
    text = unicodedata.normalize("NFD", path.decode("utf-8", "surrogateescape")).casefold()
    return unicodedata.normalize("NFC", text).encode("utf-8", "surrogateescape")


def _seen_elsewhere(name: bytes) -> list[bytes]:
    """The name as HFS+ compares it, split where Windows splits it."""
    text = name.decode("utf-8", "surrogateescape")
    seen = _HFS_IGNORED.sub("", text).encode("utf-8", "surrogateescape")
    return seen.split(b"\\")


PATH_LIMIT = 4096


def carried(path: bytes) -> bool:
    """Whether a path is one that can stand in a workspace: relative, plain, bounded."""
    return (
        0 < len(path) <= PATH_LIMIT
        and b"\0" not in path
        and not any(part in (b"", b".", b"..") for part in path.split(b"/"))
    )


def collisions(trees: Trees, added: Iterable[bytes]) -> Mapping[bytes, bytes]:
    """For each added path that collides, what with. `trees` holds everything, the added too."""
    known: dict[bytes, dict[str, list[bytes]]] = {}
    colliding: dict[bytes, bytes] = {}
    for path in added:
        directory = b""
        for part in path.split(b"/"):
            names = known.get(directory)
            if names is None:
                names = known[directory] = _by_folded(trees.names(directory))
            prefix = directory + b"/" if directory else b""
            other = next((name for name in names.get(folded(part), ()) if name != part), None)
            if other is not None:
                colliding[path] = prefix + other
                break
            directory = prefix + part
    return colliding


def folded(name: bytes) -> str:
    """A text that is equal for names which some system takes for one."""
    if name.isascii():
        return name.decode("ascii").lower()
    text = unicodedata.normalize("NFD", os.fsdecode(name)).casefold()
    return unicodedata.normalize("NFC", text)


def _by_folded(names: Iterable[bytes]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for name in names:
        found.setdefault(folded(name), []).append(name)
    return found
