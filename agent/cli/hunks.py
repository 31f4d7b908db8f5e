"""Files and hunks of a patch as a person writes them: ``a.py:1,3-4,b.py:mode,new.txt``."""

import os
import re
from collections.abc import Iterable

from agent.errors import UsageError
from agent.untrusted_text import path_text
from policies.errors import listed
from sandbox.patch.selection import MODE, HunkChoice

_NUMBERS = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?|mode")
_NAMED = 8


def chosen(values: Iterable[str], paths: Iterable[bytes]) -> HunkChoice:
    """What several values name together.

    Args:
        paths: the files of the patch.

    Raises:
        UsageError: one names no file of it, or no number.
    """
    known = {name: path for path in paths for name in (path_text(path), os.fsdecode(path))}
    wanted: dict[bytes, frozenset[int] | None] = {}
    for value in values:
        last: bytes | None = None
        for item in [value] if value in known else value.split(","):
            if item in known:
                last = known[item]
                wanted[last] = None
                continue
            name, _, numbers = item.rpartition(":")
            path = last if _NUMBERS.fullmatch(item) else known.get(name)
            if path is None:
                raise UsageError(f"--hunks {item}: {_no_file(name or item, known)}")
            last = path
            some = _numbers(item, numbers)
            before = wanted.get(path, frozenset())
            wanted[path] = None if before is None else before | some
    return wanted


def _numbers(item: str, text: str) -> frozenset[int]:
    match = _NUMBERS.fullmatch(text)
    if match is None:
        raise UsageError(f"--hunks {item}: write FILE, FILE:2, FILE:1-3 or FILE:mode")
    if match[1] is None:
        return frozenset({MODE})
    first, last = int(match[1]), int(match[2] or match[1])
    if not 0 < first <= last:
        raise UsageError(f"--hunks {item}: hunks are counted from 1, the smaller number first")
    return frozenset(range(first, last + 1))


def _no_file(name: str, known: Iterable[str]) -> str:
    return f"the patch touches no {name}; it touches {listed(sorted(set(known)), _NAMED)}"
