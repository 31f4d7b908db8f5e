"""Where the files of a workspace come from: how it is looked at, for each kind of place.

A glance tells whether it is what was copied the last time; the whole is for a copy.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from policies.frozen import dataclass
from policies.policy import WorkspaceRules
from sandbox.engine.docker import Engine
from sandbox.engine.values import ImageInfo
from sandbox.workspace.place import NOWHERE, ImageFolder, Workspace
from sandbox.workspace.scan import Scan, scan


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
            from sandbox.workspace.walk import WORTH_FILES, walk_digest  # noqa: PLC0415 - for a copy

            walk = walk_digest(self.directory)
            glance = self.glance()
            if len(glance.rows) >= WORTH_FILES:
                glance = replace(glance, walk=walk)
        yield glance

    def walk(self) -> str:
        """What `walk_digest` gives now."""
        from sandbox.workspace.walk import walk_digest  # noqa: PLC0415 - for large trees only

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
