"""The workspace that a client names, as one of the folders that the operator let it have.

What lies outside is refused by its name and by where its links lead, and always in the same words:
a client does not learn what there is on the host.
"""

from collections.abc import Sequence
from pathlib import Path

_SHOWN = 8


class OutsideRoots(Exception):
    """No folder that a client may have; the message is for the client."""


def workspace_in(roots: Sequence[Path], named: str) -> Path:
    """The folder, absolute and with no symlink in it.

    Args:
        roots: likewise.
        named: absolute, or relative to the root where there is only one; empty: that root.

    Raises:
        OutsideRoots: it lies in none of them, or is no folder.
    """
    shown = ", ".join(map(str, roots[:_SHOWN])) + (", …" if len(roots) > _SHOWN else "")
    given = Path(named)
    if not given.is_absolute():
        if len(roots) > 1:
            raise OutsideRoots(f"name the workspace by its absolute path, in one of: {shown}")
        given = roots[0] / given
    try:
        found = given.resolve()
        inside = any(root == found or root in found.parents for root in roots)
        if inside and found.is_dir():
            return found
    except (OSError, RuntimeError, ValueError):
        inside = False
    if not inside:
        raise OutsideRoots(f"not a folder in what this server was started for: {shown}")
    raise OutsideRoots(f"there is no such folder in {shown}")
