"""Where a workspace is, a directory or a folder of an image, and how it is looked at there.

Owns the two kinds of place and their form as text. A glance tells whether it is what was copied the
last time; the whole is for a copy.
"""

import os
import posixpath
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from policies.frozen import dataclass
from policies.paths import MAX_PATH, SCRATCH, WORKSPACE, within
from policies.policy import WorkspaceRules
from policies.shell.words import HOME
from sandbox.engine.docker import Engine
from sandbox.engine.values import ImageInfo
from sandbox.errors import WorkspaceError
from sandbox.workspace.scan import Scan, scan

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


@dataclass(frozen=True, slots=True)
class HostSource:
    """A directory of this machine."""

    directory: Path
    moved: str = ""
    """Which folder of the image becomes a link to the workspace; none."""

    def glance(self) -> Scan:
        """A look. Raises `WorkspaceError` where there is nothing to look at."""
        return scan(self.directory)

    @contextmanager
    def whole(self, glance: Scan | None) -> Generator[Scan]:
        """All of it; a glance that was just made is that already."""
        if glance is None:
            walk = self.walk()
            glance = after_walk(walk, self.glance())
        yield glance

    def walk(self) -> str:
        """What `walk_digest` gives now."""
        from sandbox.workspace.walk import walk_digest  # noqa: PLC0415 - for a copy, and large trees

        return walk_digest(self.directory)


@dataclass(frozen=True, slots=True)
class ImageSource:
    """A folder of an image, which never changes."""

    folder: ImageFolder
    engine: Engine
    image: ImageInfo
    rules: WorkspaceRules

    @property
    def moved(self) -> str:
        """Which folder of the image becomes a link to the workspace."""
        return self.folder.path

    def glance(self) -> Scan:
        """An image's id says all of it, and the memory of a copy is kept by that."""
        return UNSEEN

    def walk(self) -> str:
        """Nothing is walked through."""
        return ""

    @contextmanager
    def whole(self, _: Scan | None) -> Generator[Scan]:
        """All of it, as long as it is open.

        Raises:
            WorkspaceError: nothing that can be a workspace stands there, or it is too large.
        """
        from sandbox.workspace import image_tree  # noqa: PLC0415 - for what is not cached only

        with image_tree.opened(
            self.engine, self.image, self.folder, max_bytes=self.rules.max_bytes
        ) as tree:
            yield Scan(
                root=tree,
                rows=tuple(tree.rows),
                fingerprint=_SAME,
                racy=(),
                unreadable=(),
                linked=None,
            )


def after_walk(walk: str, looked: Scan) -> Scan:
    """A look that began after a walk, with it where the tree is large enough to be walked again."""
    if not walk:
        return looked
    from sandbox.workspace.walk import WORTH_FILES  # noqa: PLC0415 - as in `HostSource.walk`

    return replace(looked, walk=walk) if len(looked.rows) >= WORTH_FILES else looked


_SAME = "image"
UNSEEN = Scan(root=NOWHERE, rows=(), fingerprint=_SAME, racy=(), unreadable=(), linked=None)
"""Stands for a look where there is nothing to look at: what a copy is of is known by its key."""


def of(
    workspace: Workspace, engine: Engine, image: ImageInfo, rules: WorkspaceRules
) -> HostSource | ImageSource:
    """The source of a workspace in or for an image."""
    if isinstance(workspace, Path):
        return HostSource(workspace)
    return ImageSource(workspace, engine, image, rules)
