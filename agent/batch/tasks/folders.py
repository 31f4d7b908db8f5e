"""Folders of this machine that tasks work in: by name, or by a pattern that gives one task each.

Owns how links are resolved and how ids come of matches.
"""

import errno
import glob
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

_WILD = re.compile(r"[*?\[]")
_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")
_ID_LIMIT = 150


class NoFolder(Exception):
    """Nothing that a task can work in; the message says what to write."""


def is_pattern(text: str) -> bool:
    """Whether a workspace is meant as a pattern."""
    return bool(_WILD.search(text))


def resolved(directory: Path, text: str) -> Path:
    """A folder by its path, absolute and without links in it.

    Raises:
        NoFolder: it is not there, is no folder, or its links go round in a circle.
    """
    path = directory / text
    try:
        found = path.resolve(strict=True)
    except RuntimeError:
        raise NoFolder(f"the links at {path} lead round in a circle") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NoFolder(f"the links at {path} lead round in a circle") from None
        if error.errno == errno.ENOENT:
            raise NoFolder(f"there is no folder {path}") from None
        raise NoFolder(f"{path} can't be used: {error.strerror}") from None
    except ValueError:
        raise NoFolder("a path without NUL is expected") from None
    if not os.path.isdir(found):
        raise NoFolder(f"{path} is not a folder")
    return found


def matches(directory: Path, pattern: str) -> Sequence[tuple[str, Path]]:
    """What a pattern matches: a name for each, unique among them, and the folder; sorted.

    Files are passed over, and so is what begins with a dot, unless the pattern says it.

    Raises:
        NoFolder: nothing matches, or a match can't be used.
    """
    if "**" in pattern:
        raise NoFolder("`**` is not taken: name each level, as in repos/*/*")
    top = 0
    parts = pattern.split("/")
    while not is_pattern(parts[top]):
        top += 1
    found = []
    for match in sorted(glob.glob(pattern, root_dir=directory)):
        path = os.path.join(directory, match)
        # Not by pathlib, which raises where a link leads to what can't be looked at.
        if os.path.islink(path) or os.path.isdir(path):
            if os.path.exists(path) and not os.path.isdir(path):
                continue
            found.append(
                (plain_name(match.rstrip("/").split("/")[top:]), resolved(directory, match))
            )
    if not found:
        raise NoFolder(f"no folder matches {directory / pattern}")
    return found


def plain_name(parts: Sequence[str]) -> str:
    """A plain name from the parts of a path that a pattern left open. What is lost is told apart by
    a digest, so a name stays when others come or go."""
    text = "-".join(parts)
    plain = _PLAIN.sub("-", text).strip("._-")[:_ID_LIMIT]
    if plain == text and (len(parts) == 1 or not any("-" in part for part in parts)):
        return plain
    digest = hashlib.sha256(os.fsencode("/".join(parts))).hexdigest()[:8]
    return f"{plain or 'task'}-{digest}"
