"""The paths that a git patch names in its headers.

What is found here decides only which files are *read* for git to apply the patch to; what is
written follows from what git then did.
"""

import re

from sandbox.git.quoting import QUOTED, unquoted

# Lines of a hunk begin with a space, a sign or a backslash, and binary data has no spaces: none of
# these can stand there.
_HEADER = re.compile(rb"^(?:diff --git (.*)|(?:rename|copy) (?:from|to) (.*))$", re.MULTILINE)


def touched_paths(patch: bytes) -> frozenset[bytes]:
    """Old and new path of each file in the patch."""
    found: set[bytes] = set()
    for match in _HEADER.finditer(patch):
        both, one = match.groups()
        path = _one_name(one) if both is None else _common_name(both)
        if path:
            found.add(path)
    return frozenset(found)


def _one_name(name: bytes) -> bytes:
    quoted = QUOTED.fullmatch(name)
    return unquoted(quoted[1]) if quoted else name


def _common_name(names: bytes) -> bytes | None:
    """The path in ``a/PATH b/PATH``; None where they differ: other lines tell of a rename."""
    if quoted := QUOTED.match(names):
        first, second = unquoted(quoted[1]), _one_name(names[quoted.end() + 1 :])
    else:
        # Of equal length but for the prefix, so the middle is known, whatever spaces there are.
        middle = len(names) // 2
        first, second = names[:middle], names[middle + 1 :]
    same = first[:2] == b"a/" and second[:2] == b"b/" and first[2:] == second[2:]
    return first[2:] if same else None
