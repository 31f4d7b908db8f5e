"""A folder of an image that is the workspace: a link leads from it to where workspaces are.

What names the folder by its path, an editable install for one, works on. Owns what may be such a
folder, and the link; its files are copied by others.
"""

from pathlib import PurePosixPath

from policies.paths import WORKSPACE, within
from sandbox.engine import tar
from sandbox.engine.docker import Engine
from sandbox.engine.first_member import first_member
from sandbox.engine.values import ImageInfo
from sandbox.errors import WorkspaceError


def link(engine: Engine, container: str, image: ImageInfo, path: str) -> None:
    """Put the link into a container that has not been started. Where the folder is the workspace's
    own place, an empty one stands there then.

    Raises:
        WorkspaceError: no folder that can be a workspace stands there; the message says why.
    """
    _require(engine, container, image, path)
    own_place = path == WORKSPACE
    member = tar.cleared(path, uid=1000) if own_place else tar.link(path, WORKSPACE)
    engine.put_archive(container, "/", [member + tar.END])


def _require(engine: Engine, container: str, image: ImageInfo, path: str) -> None:
    for volume in image.volumes:
        if within(path, volume) or within(volume, path):
            raise WorkspaceError(
                f"the workspace image:{path} lies in a volume that the image declares ({volume}), "
                "and what stands in one is no part of an image: make it anew without, by "
                "`docker export` and `docker import`"
            )
    for place in reversed((PurePosixPath(path), *PurePosixPath(path).parents)):
        if place.name:
            _require_folder(engine, container, str(place), path)


def _require_folder(engine: Engine, container: str, place: str, path: str) -> None:
    where = "it" if place == path else f"{place} in it"
    found = first_member(engine, container, place)
    if found is None:
        raise WorkspaceError(
            f"there is no workspace image:{path}: the image has nothing at {place}"
        )
    member, _ = found
    if member.issym():
        raise WorkspaceError(
            f"the workspace image:{path} can't be used: {where} is a link to "
            f"{member.linkname!r:.200}; name the folder that it leads to"
        )
    if not member.isdir():
        raise WorkspaceError(f"the workspace image:{path} can't be used: {where} is no folder")
