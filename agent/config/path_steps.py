"""Every place that a path of the operator's leads through, links included.

What becomes part of a prompt may not lie in the workspace, nor lead through it: a link in there may
lead out again, to what the repository chose.
"""

from pathlib import Path
from typing import Final

from agent.errors import UsageError

_LINKS_FOLLOWED: Final = 40
"""As many as Linux follows in one path."""


def steps(file: Path, what: str) -> list[Path]:
    """Every place that a path leads through: a link in the workspace may lead out again.

    Args:
        what: what an error calls it.

    Raises:
        UsageError: it leads through too many links.
    """
    found: list[Path] = []
    # Where one stands is no link of anybody's. Not `abspath`: `..` after a link leads elsewhere.
    current = Path("/") if file.is_absolute() else Path.cwd()
    waiting = list(reversed(file.parts[1:] if file.is_absolute() else file.parts))
    followed = 0
    while waiting:
        part = waiting.pop()
        if part == "..":
            current = current.parent
            continue
        here = current / part
        found.append(here)
        try:
            target = here.readlink()
        except OSError:
            current = here
            continue
        followed += 1
        if followed > _LINKS_FOLLOWED:
            raise UsageError(f"{what} {file} can't be read: too many links")
        if target.is_absolute():
            current = Path("/")
        waiting += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    return found
