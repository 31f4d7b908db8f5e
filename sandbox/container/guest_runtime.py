"""A Python, a shell and git of our own, brought into an image that is not one of ours.

Such an image may hold none of them, another C library, or a Python that is the adversary's: what
enforces a policy in it is then still ours, started by its own loader. Owns what is put there and
where it works; how it is made is `images`' to say.
"""

import tarfile
from collections.abc import Iterator

from policies.kernel.image import ContainerImage, Inventory
from policies.paths import SCRATCH, WORKSPACE, within
from policies.shell.words import HOME
from sandbox.container.own_files import BROUGHT, BROUGHT_PROGRAMS, GUEST_DIRECTORY
from sandbox.container.prepared_image import REPOSITORY
from sandbox.container.spec import shelf
from sandbox.engine import images, tar
from sandbox.engine.docker import Engine
from sandbox.engine.first_member import first_member
from sandbox.engine.one_layer import archive
from sandbox.engine.values import (
    LABEL_FOREIGN,
    LABEL_PYTHON,
    LABEL_SETUP,
    LABEL_SNAPSHOT,
    ImageInfo,
)
from sandbox.errors import ImageUnusable

OWN_NAMES = "moonpool/"
"""What the names of our own images begin with: their Python is Debian's, and is used as it is."""
_WITH_WORKSPACE = (f"{REPOSITORY}:", f"{OWN_NAMES}snapshot:")
REFERENCE = f"{OWN_NAMES}runtime:latest"
PYTHON = f"{BROUGHT}/libexec/python3"

_LINKS = (
    ("/bin/bash", "bash"),
    ("/bin/sh", "bash"),
    ("/usr/bin/env", "env"),
)
"""Paths that first lines of scripts name, and the guest: made where nothing stands there."""
_EXPECTED = ("bash", "sh", "env", "git", "ls", "cat", "grep", "sed", "find", "tar")
"""An image that lacks one of these gets `BROUGHT_PROGRAMS` into its search path."""
_USERS = (
    ("/etc/passwd", b"agent:x:1000:1000::/home/agent:/bin/bash\n", b"root:x:0:0::/root:/bin/sh\n"),
    ("/etc/group", b"agent:x:1000:\n", b"root:x:0:\n"),
)
_FILE_LIMIT = 1 << 20


def is_needed(image: ImageInfo) -> bool:
    """Whether an image gets it: by its names, which only this engine's operator gives, and where
    others may have replaced what stands in one of ours."""
    own = any(tag.startswith(OWN_NAMES) for tag in image.tags)
    return not own or LABEL_FOREIGN in image.labels or LABEL_PYTHON in image.labels


def is_looked_through(image: ImageInfo) -> bool:
    """Whether what stands in its workspace was put there by a set-up: by its name too, which only
    this engine's operator gives."""
    return image.labels.keys() & {LABEL_SETUP, LABEL_SNAPSHOT} != set() and any(
        tag.startswith(_WITH_WORKSPACE) for tag in image.tags
    )


def find(engine: Engine) -> ImageInfo:
    """The image that it is taken from.

    Raises:
        ImageUnusable: it has not been built.
    """
    found = engine.image(REFERENCE)
    if found is None:
        raise ImageUnusable(
            "an image that is not one of Moonpool's own needs the guest's runtime: build it with "
            "`moonpool image build runtime`"
        )
    return found


def without_volumes(engine: Engine, image: ImageInfo) -> str:
    """The id of an image with the same files and no volumes.

    What is put below a volume never becomes part of an image, and no sandbox has one that it did
    not plan.

    Raises:
        ImageUnusable: it has some where a sandbox has places of its own, and this engine takes no
            image without its layers.
    """
    places = (WORKSPACE, HOME, BROUGHT, *SCRATCH, "/etc", "/bin", "/usr/bin")
    if not image.volumes:
        return image.id
    if not engine.stores_layers():
        if not any(within(place, volume) for place in places for volume in image.volumes):
            return image.id
        raise ImageUnusable(
            f"the image declares volumes ({', '.join(image.volumes)}) where the sandbox has places "
            "of its own: make it anew without them, by `docker export` and `docker import`"
        )
    key = f"plain-{image.id.removeprefix('sha256:')[:24]}"
    engine.load(archive(image, iter([tar.END]), len(tar.END), lambda: key))
    made = engine.image(images.reference(key))
    if made is None:
        raise ImageUnusable("the engine made no image without volumes of it")
    return made.id


def bring(
    engine: Engine, container: str, runtime: ImageInfo, *, keeps_workspace: bool = False
) -> None:
    """Put it into a container that has not been started, with the agent's user and places.

    Args:
        keeps_workspace: what stands there was put there by a set-up, and looked through.

    Raises:
        ImageUnusable: what it needs to stand at leads elsewhere in the image.
    """
    members = _members(engine, container, keeps_workspace=keeps_workspace)
    engine.put_archive(container, "/", [b"".join((*members, tar.END))])
    source = engine.create(shelf(runtime.id))
    try:
        engine.put_archive(container, f"/{GUEST_DIRECTORY}", engine.get_archive(source, BROUGHT))
    finally:
        engine.remove(source)


def _members(engine: Engine, container: str, *, keeps_workspace: bool) -> Iterator[bytes]:
    for path in ("/opt", "/home", "/etc", "/usr", "/usr/bin", "/bin", "/var"):
        kind = _kind(engine, container, path)
        # Whoever the image gives it to: what stands in it is ours.
        if kind is None or (path, kind) == ("/opt", tarfile.DIRTYPE):
            yield tar.directory(path)
        elif kind == tarfile.SYMTYPE and path not in {"/bin", "/usr/bin"}:
            raise ImageUnusable(f"{path} is a link in this image, and has to be a directory")
        elif kind not in {tarfile.DIRTYPE, tarfile.SYMTYPE}:
            raise ImageUnusable(f"{path} is no directory in this image")
    for path, uid, mode in (
        (f"/{GUEST_DIRECTORY}", 0, 0o755),
        (WORKSPACE, 1000, 0o755),
        (SCRATCH[0], 0, 0o1777),
    ):
        if path != WORKSPACE or not keeps_workspace:
            yield tar.cleared(path, uid=uid, mode=mode)
        else:
            yield tar.directory(path, uid=uid, mode=mode)
    yield tar.directory(HOME, uid=1000)
    for path, name in _LINKS:
        if _kind(engine, container, path) is None:
            yield tar.link(path, f"{BROUGHT_PROGRAMS}/{name}")
    for path, row, otherwise in _USERS:
        known = _content(engine, container, path) or otherwise
        rows = [line.split(b":") for line in known.splitlines()]
        if not any(fields[2:3] == [b"1000"] for fields in rows):
            yield tar.file(path, known + (b"" if known.endswith(b"\n") else b"\n") + row)


def _kind(engine: Engine, container: str, path: str) -> bytes | None:
    """What stands at a path, as a tar says it; None: nothing, or a link that leads nowhere."""
    found = first_member(engine, container, path)
    return None if found is None else found[0].type


def _content(engine: Engine, container: str, path: str) -> bytes:
    """A small regular file; empty where there is none."""
    found = first_member(engine, container, path, limit=_FILE_LIMIT)
    return b"" if found is None or found[0].size > len(found[1]) else found[1]


def search_path(inventory: Inventory) -> tuple[str, ...]:
    """Where commands look for programs in an image that got the runtime."""
    known = ContainerImage(inventory)
    lacks = any(known.find(name) is None for name in _EXPECTED)
    return (*inventory.search_path, BROUGHT_PROGRAMS) if lacks else inventory.search_path
