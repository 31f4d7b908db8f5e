"""The paths that a git patch names in its headers.

Owns git's quoting of names. What is found here decides only which files are *read* for git to
apply the patch to; what is written follows from what git then did.
"""

import re

# Lines of a hunk begin with a space, a sign or a backslash, and binary data has no spaces: none of
# these can stand there.
_HEADER = re.compile(rb"^(?:diff --git (.*)|(?:rename|copy) (?:from|to) (.*))$", re.MULTILINE)
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|.)", re.DOTALL)
_LETTERS = {
    b"a": b"\a",
    b"b": b"\b",
    b"t": b"\t",
    b"n": b"\n",
    b"v": b"\v",
    b"f": b"\f",
    b"r": b"\r",
}


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
    quoted = _QUOTED.fullmatch(name)
    return _unquoted(quoted[1]) if quoted else name


def _common_name(names: bytes) -> bytes | None:
    """The path in ``a/PATH b/PATH``; None where they differ: other lines tell of a rename."""
    if quoted := _QUOTED.match(names):
        first, second = _unquoted(quoted[1]), _one_name(names[quoted.end() + 1 :])
    else:
        # Of equal length but for the prefix, so the middle is known, whatever spaces there are.
        middle = len(names) // 2
        first, second = names[:middle], names[middle + 1 :]
    same = first[:2] == b"a/" and second[:2] == b"b/" and first[2:] == second[2:]
    return first[2:] if same else None


def _unquoted(name: bytes) -> bytes:
    def plain(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes((int(code, 8),)) if len(code) == 3 else _LETTERS.get(code, code)

    return _ESCAPE.sub(plain, name)
