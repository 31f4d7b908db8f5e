"""Opening what the operator names, past every place that its path leads through, links included.

What becomes part of a prompt may not lie in the workspace, nor lead through it: a link in there may
lead out again, to what the repository chose.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from agent.errors import UsageError

_LINKS_FOLLOWED: Final = 40
"""As many as Linux follows in one path."""


def opened_outside(
    path: Path, flags: int, workspaces: Collection[Path], *, what: str, instead: str
) -> int:
    """The handle of a file or a folder to which no way leads through one of the workspaces.

    Args:
        what: what an error calls it.
        instead: what to do where it lies there.

    Raises:
        UsageError: it lies in one of them, or leads through it, or can't be opened.
    """
    for step in _steps(path, what):
        refuse_inside(step, path, workspaces, what=what, instead=instead)
    try:
        handle = os.open(path, flags)
    except OSError as error:
        raise UsageError(f"{what} {path} can't be read: {error.strerror}") from error
    # The path may have become another between the look at it and the opening.
    try:
        place = Path(os.readlink(f"/proc/self/fd/{handle}"))
        refuse_inside(place, path, workspaces, what=what, instead=instead)
    except OSError:
        pass
    except UsageError:
        os.close(handle)
        raise
    return handle


def refuse_inside(
    place: Path, path: Path, workspaces: Collection[Path], *, what: str, instead: str
) -> None:
    """Raises UsageError where a place that a path leads to is in one of the workspaces."""
    if any(around in workspaces for around in (place, *place.parents)):
        raise UsageError(
            f"{what} {path} lie in the workspace, or lead through it, and a repository may not "
            f"write what the model obeys: {instead}"
        )


def _steps(file: Path, what: str) -> list[Path]:
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
