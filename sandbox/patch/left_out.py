"""What a patch can't carry, and the words that say so."""

import stat
from dataclasses import replace

from sandbox.patch.values import LeftOut, LeftOutKind

_NOTES_LIMIT = 200
_CARRIED_MODES = frozenset({0o644, 0o755, 0o664, 0o775})
"""What a checkout makes of git's two modes, by umask."""


def collides(path: bytes) -> LeftOut:
    """For a file that has the id of another one, and another content."""
    reason = "has the SHA-1 id of another file, and another content: no patch can tell them apart"
    return LeftOut(path=path, reason=reason, kind=LeftOutKind.COLLISION)


def special(path: bytes) -> LeftOut:
    """For what is no file, link or directory."""
    return LeftOut(path=path, reason="is a socket, pipe or device", kind=LeftOutKind.SPECIAL)


def too_large(path: bytes, size: int) -> LeftOut:
    """For a file of more bytes than a patch takes."""
    reason = f"is too large for a patch ({size} bytes)"
    return LeftOut(path=path, reason=reason, kind=LeftOutKind.TOO_LARGE)


def empty_directory(path: bytes) -> LeftOut:
    """For a directory with nothing in it."""
    reason = "is an empty directory, which no patch carries"
    return LeftOut(path=path, reason=reason, kind=LeftOutKind.EMPTY_DIRECTORY)


def mode_notes(path: bytes, mode: int) -> list[LeftOut]:
    """What a patch drops of a file's mode: all but whether its owner may execute it."""
    bits = stat.S_IMODE(mode)
    if not stat.S_ISREG(mode) or bits in _CARRIED_MODES:
        return []
    carried_as = 0o755 if bits & 0o100 else 0o644
    reason = f"has mode {bits:o}, which a patch carries as {carried_as:o}"
    return [LeftOut(path=path, reason=reason, kind=LeftOutKind.MODE)]


def bounded(notes: list[LeftOut]) -> list[LeftOut]:
    """The first of them, and how many more there are."""
    shown = sorted(notes, key=lambda note: note.path)[:_NOTES_LIMIT]
    if len(notes) > len(shown):
        more = len(notes) - len(shown)
        shown[-1] = replace(shown[-1], reason=f"{shown[-1].reason}; so it is with {more} more")
    return shown
