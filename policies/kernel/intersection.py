"""Two sets of access rules made into one that grants what both grant.

A rule on a path covers everything below it, so what is granted at a path is the union over the
path and its ancestors. Pure; refuses to know what the bits of an access mean.
"""

import posixpath
from collections.abc import Iterator, Mapping
from enum import IntFlag
from typing import TypeVar

A = TypeVar("A", bound=IntFlag)


def granted_at(rules: Mapping[str, A], path: str, nothing: A) -> A:
    """What rules grant at an absolute path in normal form."""
    found = nothing
    for place in _upward(path):
        found |= rules.get(place, nothing)
    return found


def intersection(one: Mapping[str, A], other: Mapping[str, A], nothing: A) -> dict[str, A]:
    """Rules that grant at each path what both `one` and `other` grant there, and nothing else.

    Exact: of two rules that both cover a path one lies below the other or at the same place, so a
    rule there says all. A rule holds only what those above it do not grant already, so that a file
    gets no right of directories which a rule far above it has.
    """
    found: dict[str, A] = {}
    for path in sorted({*one, *other}, key=_depth):
        both = granted_at(one, path, nothing) & granted_at(other, path, nothing)
        new = both & ~granted_at(found, path, nothing)
        if new:
            found[path] = new
    return found


def _depth(path: str) -> tuple[int, str]:
    return (0 if path == "/" else path.count("/"), path)


def _upward(path: str) -> Iterator[str]:
    yield path
    while path != "/":
        path = posixpath.dirname(path)
        yield path
