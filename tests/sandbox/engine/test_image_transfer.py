"""An image from one engine to another: what arrives is what was sent, or nothing is."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.engine.docker import Engine
from sandbox.engine.image_transfer import CarriedImage, put_together, take_apart
from sandbox.errors import EngineError

FILES = {"one": b"first\n" * 50_000, "two": b"second\n"}


class Layers:
    """Where layers are on the way."""

    def __init__(self) -> None:
        self.by_digest: dict[str, bytes] = {}
        self.asked: list[str] = []

    def keep(self, content: Iterator[bytes]) -> Callable[[str], None]:
        data = b"".join(content)
        return lambda digest: self.by_digest.__setitem__(digest, data)

    def get(self, digest: str) -> Iterable[bytes]:
        self.asked.append(digest)
        return [self.by_digest[digest]]


@pytest.fixture
def sent(engine: Engine, tmp_path: Path) -> Iterator[tuple[CarriedImage, Layers]]:
    """An image of the engine, taken apart; the engine has it no more."""
    ref = f"moonpool-transfer-{tmp_path.parent.name.lower()}:{tmp_path.name[-20:].lower()}"
    tar = tmp_path / "root.tar"
    with tarfile.open(tar, "w") as archive:
        for name, content in {**FILES, "unique": str(tmp_path).encode()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    engine.import_rootfs(tar, ref=ref, labels={"kept": "yes"})
    layers = Layers()
    image = take_apart(engine, ref, layers.keep)
    engine.remove_image(ref)
    yield image, layers
    engine.remove_image(ref)


def test_an_image_arrives_under_another_name_with_layers_and_labels(
    engine: Engine, sent: tuple[CarriedImage, Layers]
) -> None:
    image, layers = sent
    assert engine.image(image.ref) is None
    made = put_together(engine, image, image.ref, layers.get)
    assert made.layers == image.digests
    assert made.labels["kept"] == "yes"
    assert layers.asked == list(image.digests)


def test_a_layer_that_stands_there_is_not_sent_again(
    engine: Engine, sent: tuple[CarriedImage, Layers]
) -> None:
    image, layers = sent
    put_together(engine, image, image.ref, layers.get)
    layers.asked.clear()
    again = f"{image.ref}-again"
    try:
        assert put_together(engine, image, again, layers.get).layers == image.digests
        assert layers.asked == []
    finally:
        engine.remove_image(again)


@pytest.mark.parametrize("how", ["other", "shorter", "longer"])
def test_what_is_not_what_its_digest_says_becomes_no_image(
    engine: Engine, sent: tuple[CarriedImage, Layers], how: str
) -> None:
    image, layers = sent
    (digest,) = image.digests
    good = layers.by_digest[digest]
    bad = {"other": b"x" + good[1:], "shorter": good[:-512], "longer": good + bytes(512)}
    layers.by_digest[digest] = bad[how]
    with pytest.raises(EngineError, match="what arrived is not"):
        put_together(engine, image, image.ref, layers.get)
    assert engine.image(image.ref) is None


def test_a_description_that_names_other_layers_becomes_no_image(
    engine: Engine, sent: tuple[CarriedImage, Layers]
) -> None:
    image, layers = sent
    said = json.loads(image.config)
    said["rootfs"]["diff_ids"] = ["sha256:" + "0" * 64]
    with pytest.raises(EngineError):
        put_together(
            engine, replace(image, config=json.dumps(said).encode()), image.ref, layers.get
        )
    assert engine.image(image.ref) is None


class Saving(Engine):
    """Gives an image as another kind of engine would."""

    def __init__(self, members: dict[str, bytes]) -> None:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        self.data = out.getvalue()

    def saved(self, _ref: str) -> "Saving":  # type: ignore[override]
        return self

    def __enter__(self) -> Iterator[bytes]:
        return iter([self.data[:700], self.data[700:]])

    def __exit__(self, *_: object) -> None: ...


def test_compressed_layers_go_as_what_their_digests_name() -> None:
    layer = bytes(3 << 20) + b"end"
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    engine = Saving(
        {
            "blobs/sha256/aa": gzip.compress(layer),
            "blobs/sha256/bb": json.dumps({"rootfs": {"diff_ids": [digest]}}).encode(),
            "manifest.json": json.dumps([{"Config": "blobs/sha256/bb"}]).encode(),
        }
    )
    layers = Layers()
    image = take_apart(engine, "image:1", layers.keep)
    assert image.layers == ((digest, len(layer)),)
    assert layers.by_digest[digest] == layer


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"manifest.json": b"[]"},
        {"manifest.json": b'[{"Config": "none"}]'},
        {"manifest.json": b'[{"Config": "c"}]', "c": b'{"rootfs": {"diff_ids": ["sha256:0"]}}'},
        {"manifest.json": b"{", "c": b"[1]"},
    ],
)  # fmt: skip
def test_another_form_is_a_clear_error(members: dict[str, bytes]) -> None:
    with pytest.raises(EngineError, match=r"can't be (sent|read)"):
        take_apart(Saving(members), "image:1", Layers().keep)
