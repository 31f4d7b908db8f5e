"""A folder of an image that is the workspace: a link leads from it to where workspaces are.

What names the folder by its path, an editable install for one, works on. Owns what may be such a
folder, and the link; its files are copied by others.
"""

import io
import tarfile
from contextlib import closing
from pathlib import PurePosixPath

from policies.paths import WORKSPACE, within
from sandbox.engine import tar
from sandbox.engine.docker import Engine
from sandbox.engine.values import ImageInfo
from sandbox.errors import WorkspaceError

_HEAD_BYTES = 1 << 16


def link(engine: Engine, container: str, image: ImageInfo, path: str) -> None:
    """Put the link into a container that has not been started. Where the folder is the workspace's
    own place, an empty one stands there then.

    Raises:
        WorkspaceError: no folder that can be a workspace stands there; the message says why.
    """
    _require(engine, container, image, path)
    name = path[1:].encode()
    if path == WORKSPACE:
        # A file takes the place of all that stands there.
        members = [
            tar.header(name, kind=tar.REGULAR),
            tar.header(name + b"/", kind=tar.DIRECTORY, uid=1000),
        ]
    else:
        members = [tar.header(name, kind=tar.SYMLINK, mode=0o777, target=WORKSPACE.encode())]
    engine.put_archive(container, "/", [b"".join((*members, tar.END))])


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
    try:
        member = first(engine, container, place)
    except FileNotFoundError:
        raise WorkspaceError(
            f"there is no workspace image:{path}: the image has nothing at {place}"
        ) from None
    if member is not None and member.issym():
        raise WorkspaceError(
            f"the workspace image:{path} can't be used: {where} is a link to "
            f"{member.linkname!r:.200}; name the folder that it leads to"
        )
    if member is None or not member.isdir():
        raise WorkspaceError(f"the workspace image:{path} can't be used: {where} is no folder")


def first(engine: Engine, container: str, path: str) -> tarfile.TarInfo | None:
    """What stands at a path, by the engine's tar of it. Raises `FileNotFoundError`."""
    data = b""
    with closing(engine.get_archive(container, path)) as pieces:
        for piece in pieces:
            data += piece
            if len(data) > _HEAD_BYTES:
                break
    try:
        with tarfile.open(
            fileobj=io.BytesIO(data), mode="r:", encoding="utf-8", errors="surrogateescape"
        ) as archive:
            return archive.next()
    except tarfile.TarError:
        return None
