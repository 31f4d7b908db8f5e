"""An image as the engine loads it: one layer on what it has."""

import io
import json
import tarfile

import pytest

from sandbox.engine.images import reference
from sandbox.engine.one_layer import archive
from sandbox.engine.values import ImageInfo
from sandbox.errors import WorkspaceError

BASE = ImageInfo(
    id="sha256:b",
    tags=(),
    labels={},
    size_bytes=1,
    created="",
    layers=("sha256:1", "sha256:2"),
    architecture="amd64",
    os="linux",
)


def test_only_the_new_layer_is_sent_and_it_stands_on_the_base() -> None:
    layer = [b"x" * 700, b"y" * 300]
    data = b"".join(archive(BASE, iter(layer), 1000, lambda: "k"))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = {name: tar.extractfile(name) for name in tar.getnames()}
        content = {name: file.read() for name, file in files.items() if file is not None}
    assert content.keys() == {"new/layer.tar", "config.json", "manifest.json"}
    assert content["new/layer.tar"] == b"".join(layer)
    layers = json.loads(content["config.json"])["rootfs"]["diff_ids"]
    assert layers[:2] == list(BASE.layers)
    manifest = json.loads(content["manifest.json"])[0]
    assert manifest["RepoTags"] == [reference("k")]
    assert len(manifest["Layers"]) == len(layers) == 3


def test_a_copy_that_comes_out_longer_or_shorter_is_a_clear_error() -> None:
    for size in (3, 5):
        with pytest.raises(WorkspaceError, match="run again"):
            list(archive(BASE, iter([b"1234"]), size, lambda: "k"))
