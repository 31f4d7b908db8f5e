"""An image that is made of another and one more layer, in the form that an engine loads.

It is written in one pass over the layer: an engine that stores images itself takes the base's
layers from what it has, so only ours is sent. Through a container (put, then commit) the same files
would be written twice and read once more. Source of the form: moby's image/spec/v1.2.md and
image/tarexport/load.go.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator

from sandbox.engine import tar
from sandbox.engine.images import reference, snapshot_labels
from sandbox.engine.values import ImageInfo
from sandbox.errors import WorkspaceError


def archive(
    base: ImageInfo, layer: Iterator[bytes], size: int, key: Callable[[], str], *, layers: int = 1
) -> Iterator[bytes]:
    """The tar to load.

    Args:
        layer: an uncompressed tar, in pieces.
        size: of that tar, in bytes; it must come to exactly that.
        key: gives the snapshot's key, once the layer has been read to its end.
        layers: in how many of the uppermost the workspace is.
    """
    counted = Counted(layer)
    yield tar.header(b"new/layer.tar", kind=tar.REGULAR, size=size)
    yield from counted
    if counted.size != size:
        # A link on the host got another target between the count and the copy.
        raise WorkspaceError("the workspace changed while it was copied: run again")
    yield tar.padding(size)
    contents = [*base.layers, counted.digest]
    config = {
        "architecture": base.architecture,
        "os": base.os,
        "created": "1970-01-01T00:00:00Z",
        "config": {"Labels": snapshot_labels(key(), layers)},
        "rootfs": {"type": "layers", "diff_ids": contents},
        "history": [{"created_by": "moonpool"} for _ in contents],
    }
    files = [f"old/{number}.tar" for number in range(len(base.layers))]
    names = [*files, "new/layer.tar"]
    yield from description(json.dumps(config).encode(), reference(key()), names)


def description(config: bytes, ref: str, layers: list[str]) -> Iterator[bytes]:
    """The end of such a tar: what the image is, and how it is called.

    Args:
        layers: a file of the tar for each. An engine looks a layer up by its content before it
            opens the file, so what it has already need not be there.
    """
    manifest = [{"Config": "config.json", "RepoTags": [ref], "Layers": layers}]
    yield tar.file(b"config.json", config)
    yield tar.file(b"manifest.json", json.dumps(manifest).encode())
    yield tar.END


class Counted:
    """Passes pieces on, and says in the end what they were."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self._sha256 = hashlib.sha256()
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._sha256.update(piece)
            self.size += len(piece)
            yield piece

    @property
    def digest(self) -> str:
        return f"sha256:{self._sha256.hexdigest()}"
