"""What a patch can't carry, and the words that say so."""

from sandbox.patch.values import LeftOut

_TYPE = 0o170000


_REGULAR = 0o100000


_NOTES_LIMIT = 200


COLLIDES = "has the SHA-1 id of another file, and another content: no patch can tell them apart"


SPECIAL = "is a socket, pipe or device"


EMPTY = "is an empty directory, which no patch carries"


ODD_MODE = "has mode"


_CARRIED_MODES = frozenset({0o644, 0o755, 0o664, 0o775})
"""What a checkout makes of git's two modes, by umask."""


def mode_notes(path: bytes, mode: int) -> list[LeftOut]:
    """What a patch drops of a file's mode: all but whether its owner may execute it."""
    bits = mode & 0o7777
    if mode & _TYPE != _REGULAR or bits in _CARRIED_MODES:
        return []
    carried_as = 0o755 if bits & 0o100 else 0o644
    reason = f"{ODD_MODE} {bits:o}, which a patch carries as {carried_as:o}"
    return [LeftOut(path=path, reason=reason)]


def bounded(notes: list[LeftOut]) -> list[LeftOut]:
    """The first of them, and how many more there are."""
    shown = sorted(notes, key=lambda note: note.path)[:_NOTES_LIMIT]
    if len(notes) > len(shown):
        more = len(notes) - len(shown)
        shown[-1] = LeftOut(
            path=shown[-1].path, reason=f"{shown[-1].reason}; so it is with {more} more"
        )
    return shown
