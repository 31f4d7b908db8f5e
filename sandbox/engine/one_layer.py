"""An image that is made of another and one more layer, in the form that an engine loads.

It is written in one pass over the layer: an engine that stores images itself takes the base's
layers from what it has, so only ours is sent. Through a container (put, then commit) the same files
would be written twice and read once more. Source of the form: moby's image/spec/v1.2.md and
image/tarexport/load.go.
"""

import hashlib
import json
from collections.abc import Callable, Iterator

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
    digest = hashlib.sha256()
    sent = 0
    yield tar.header(b"new/layer.tar", kind=tar.REGULAR, size=size)
    for piece in layer:
        digest.update(piece)
        sent += len(piece)
        yield piece
    if sent != size:
        # A link on the host got another target between the count and the copy.
        raise WorkspaceError("the workspace changed while it was copied: run again")
    yield tar.padding(size)
    contents = [*base.layers, f"sha256:{digest.hexdigest()}"]
    config = {
        "architecture": base.architecture,
        "os": base.os,
        "created": "1970-01-01T00:00:00Z",
        "config": {"Labels": snapshot_labels(key(), layers)},
        "rootfs": {"type": "layers", "diff_ids": contents},
        "history": [{"created_by": "moonpool"} for _ in contents],
    }
    # The engine looks a layer up by its content before it opens the file named here.
    files = [f"old/{number}.tar" for number in range(len(base.layers))]
    manifest = [
        {
            "Config": "config.json",
            "RepoTags": [reference(key())],
            "Layers": [*files, "new/layer.tar"],
        }
    ]
    for name, value in ((b"config.json", config), (b"manifest.json", manifest)):
        yield tar.file(name, json.dumps(value).encode())
    yield tar.END
