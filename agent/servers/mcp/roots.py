"""The workspace that a client names, as one of the folders that the operator let it have.

What lies outside is refused by its name and by where its links lead, and always in the same words:
a client does not learn what there is on the host.
"""

from collections.abc import Sequence

from agent.errors import UsageError
from policies.paths import within
from sandbox.errors import WorkspaceError
from sandbox.workspace import source
from sandbox.workspace.source import ImageFolder, Workspace

_SHOWN = 8


def workspace_in(roots: Sequence[Workspace], named: str) -> Workspace:
    """The folder, absolute and with no symlink in it; or one of the image that a policy names.

    Args:
        roots: likewise.
        named: absolute, or relative to the root where there is only one; empty: that root.

    Raises:
        UsageError: it lies in none of them, or is no folder.
    """
    shown = ", ".join(map(str, roots[:_SHOWN])) + (", …" if len(roots) > _SHOWN else "")
    if not named.startswith(("/", source.PREFIX)):
        if len(roots) > 1:
            raise UsageError(f"name the workspace by its absolute path, in one of: {shown}")
        named = f"{roots[0]}/{named}"
    try:
        place = source.named(named)
        if isinstance(place, ImageFolder):
            inside = any(
                isinstance(it, ImageFolder) and within(place.path, it.path) for it in roots
            )
            if inside:
                return place
        else:
            found = place.resolve()
            inside = any(root == found or root in found.parents for root in roots)
            if inside and found.is_dir():
                return found
    except (OSError, RuntimeError, ValueError, WorkspaceError):
        inside = False
    if not inside:
        raise UsageError(f"not a folder in what this server was started for: {shown}")
    raise UsageError(f"there is no such folder in {shown}")
