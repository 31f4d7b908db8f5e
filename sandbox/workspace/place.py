"""Where a workspace is: a directory of this machine, or a folder of the image that is worked in.

Owns the two kinds and their form as text. Whether something stands there is not asked.
"""

import os
import posixpath
from pathlib import Path

from policies.frozen import dataclass
from policies.paths import MAX_PATH, SCRATCH, WORKSPACE, within
from policies.shell.words import HOME
from sandbox.errors import WorkspaceError

PREFIX = "image:"
NOWHERE = Path(os.devnull)
"""The directory of a workspace that has none on this machine: below it nothing can stand."""
_OURS = (WORKSPACE, HOME, "/opt/moonpool")
_SYSTEM = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run",
    "/sbin", "/sys", "/usr/bin", "/usr/include", "/usr/lib", "/usr/lib64", "/usr/libexec",
    "/usr/local/bin", "/usr/local/lib", "/usr/local/sbin", "/usr/sbin", "/usr/share", *SCRATCH,
)  # fmt: skip
"""Programs of the image, and places that are made anew in each container."""


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """A folder of the image that a policy names, after its set-up. Its tree is the baseline."""

    path: str
    """Absolute and plain; not one that the container itself needs where it is."""

    def __str__(self) -> str:
        return PREFIX + self.path


Workspace = Path | ImageFolder


def named(text: str) -> Workspace:
    """What a text names, as a person or a record gives it.

    Raises:
        WorkspaceError: it names a folder of an image that can't be one's workspace.
    """
    return folder(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else Path(text)


def folder(path: str) -> ImageFolder:
    """A folder of an image, by its path there. Raises as `named`."""

    def refused(why: str) -> WorkspaceError:
        return WorkspaceError(f"the workspace {PREFIX}{path:.200} {why}")

    if not path.startswith("/") or len(path) > MAX_PATH or not path.isprintable():
        raise refused("is no folder by an absolute path of the image, as is image:/testbed")
    if ".." in path.split("/"):
        raise refused("leads upwards: name the folder itself")
    plain = posixpath.normpath("/" + path.lstrip("/"))
    if plain != WORKSPACE and any(within(plain, place) for place in _OURS):
        raise refused("lies in a place that the sandbox makes anew: move it in the image")
    if any(within(plain, place) for place in _SYSTEM):
        raise refused("is the system's own: copy the tree to a folder of its own, as /testbed")
    if plain != WORKSPACE and any(within(place, plain) for place in (*_OURS, *_SYSTEM)):
        raise refused("holds what the container itself needs: name the folder of the project")
    return ImageFolder(plain)


def on_host(workspace: Workspace) -> Path:
    """Its directory on this machine; `NOWHERE` for a folder of an image."""
    return workspace if isinstance(workspace, Path) else NOWHERE
