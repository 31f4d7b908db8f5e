"""What an engine stores of ours that can be made again: how large it is, when it was last used.

Owns the look. What may be removed, and when, is `sandbox.prune`'s to say.
"""

import contextlib
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from policies.frozen import dataclass
from sandbox.container.prepared_image import DRAFT, inventory_file, layer_file
from sandbox.container.volumes import lower_file, published
from sandbox.engine.docker import Engine
from sandbox.engine.values import (
    LABEL_LOWER,
    LABEL_MANAGED,
    LABEL_PREPARED,
    LABEL_SETUP,
    LABEL_SNAPSHOT,
    ImageInfo,
    VolumeInfo,
)
from sandbox.errors import EngineError
from sandbox.workspace.snapshot import manifest_file


class LeftoverKind(StrEnum):
    """Of what stands at an engine and is ours."""

    CONTAINER = "container"
    """Never one of those that are stored."""
    SNAPSHOT = "snapshot"
    PREPARED_IMAGE = "prepared image"
    SETUP_LAYER = "set-up layer"
    VOLUME = "volume"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredItem:
    kind: LeftoverKind
    id: str
    """The image's id, the volume's name."""
    own_bytes: int
    """What goes with it: of an image, without the images that it is made of."""
    last_use_s: float
    """Since the epoch; of an image, of those that are made of it too."""
    above: frozenset[str]
    """Ids of the images that are made of it."""
    named: bool = True
    """An image without a name was replaced by another of the same content."""
    known: bool = True
    """Whether the cache of this user has a file for it: others use the engine too."""
    finished: bool = True
    """What is not may be at work in another process at this moment."""


def stored(engine: Engine) -> tuple[StoredItem, ...]:
    """Everything that is kept only so that it need not be made again.

    Raises:
        EngineError, EngineUnavailable: the engine does not say.
    """
    images = {image.id: image for label in _LABELS for image in engine.images(label)}
    # Recipes' images are what operators build, and not ours to remove; they take part in sizes.
    others = [image for image in engine.images(LABEL_MANAGED) if image.id not in images]
    kinds = {name: kind for name, image in images.items() if (kind := _kind(image)) is not None}
    bases = [*images.values(), *others]
    above = {name: _above(images[name], images.values()) & kinds.keys() for name in kinds}
    files = {name: _cache_file(engine.cache, images[name], kind) for name, kind in kinds.items()}
    used = {name: _last_use(images[name], file) for name, file in files.items()}
    found = [
        StoredItem(
            kind=kind,
            id=name,
            own_bytes=max(images[name].size_bytes - _below(images[name], bases), 0),
            last_use_s=max(used[other] for other in (name, *above[name])),
            above=frozenset(above[name]),
            named=bool(images[name].tags),
            known=_is_there(files[name]),
            finished=not _tag(images[name]).startswith(DRAFT),
        )
        for name, kind in kinds.items()
    ]
    volumes = engine.volumes(LABEL_LOWER)
    sizes: dict[str, int] = {}
    if volumes:
        # An engine counts for one at a time, and refuses the others: they go without.
        with contextlib.suppress(EngineError):
            sizes = engine.volume_sizes()
    found += [
        StoredItem(
            kind=LeftoverKind.VOLUME,
            id=volume.name,
            own_bytes=sizes.get(volume.name, 0),
            last_use_s=_volume_last_use(engine.cache, volume),
            above=frozenset(),
            known=_is_there(lower_file(engine.cache, volume.labels.get(LABEL_LOWER, ""))),
            finished=published(engine.cache, volume.labels.get(LABEL_LOWER, "")) == volume.name,
        )
        for volume in volumes
    ]
    return tuple(found)


_LABELS = (LABEL_SNAPSHOT, LABEL_PREPARED, LABEL_SETUP)
_REPOSITORIES = {
    "moonpool/snapshot": LeftoverKind.SNAPSHOT,
    "moonpool/prepared": LeftoverKind.PREPARED_IMAGE,
    "moonpool/setup": LeftoverKind.SETUP_LAYER,
}


def _kind(image: ImageInfo) -> LeftoverKind | None:
    """By its name: labels are inherited, by images that a person makes of ours too."""
    if image.tags:
        return _REPOSITORIES.get(image.tags[0].rpartition(":")[0])
    if LABEL_SNAPSHOT in image.labels:
        return LeftoverKind.SNAPSHOT
    return (
        LeftoverKind.PREPARED_IMAGE if LABEL_PREPARED in image.labels else LeftoverKind.SETUP_LAYER
    )


def _above(image: ImageInfo, among: Iterable[ImageInfo]) -> set[str]:
    size = len(image.layers)
    return {
        other.id
        for other in among
        if len(other.layers) > size and other.layers[:size] == image.layers
    }


def _below(image: ImageInfo, among: list[ImageInfo]) -> int:
    """Bytes of the largest image that it is made of."""
    sizes = (
        other.size_bytes
        for other in among
        if len(other.layers) < len(image.layers)
        and image.layers[: len(other.layers)] == other.layers
    )
    return max(sizes, default=0)


def _cache_file(cache_directory: Path, image: ImageInfo, kind: LeftoverKind) -> Path | None:
    """The file of the cache whose time says when one was last opened: a snapshot's manifest, a
    prepared image's inventory, a layer's own."""
    tag = _tag(image)
    match kind:
        case LeftoverKind.SNAPSHOT:
            return manifest_file(cache_directory, image.labels.get(LABEL_SNAPSHOT, tag))
        case LeftoverKind.PREPARED_IMAGE:
            return inventory_file(cache_directory, tag)
        case _:
            return layer_file(cache_directory, tag) if tag else None


def _is_there(file: Path | None) -> bool:
    return file is not None and file.is_file()


def _last_use(image: ImageInfo, file: Path | None) -> float:
    """One without a file may be another user's: it counts from when it came."""
    with contextlib.suppress(OSError):
        if file is not None:
            return file.stat().st_mtime
    return max(time_of(image.created), time_of(image.tagged))


def _tag(image: ImageInfo) -> str:
    return image.tags[0].rpartition(":")[2] if image.tags else ""


def _volume_last_use(cache_directory: Path, volume: VolumeInfo) -> float:
    """When a shared volume was last opened; of one that is being filled, when it was made."""
    key = volume.labels.get(LABEL_LOWER, "")
    if published(cache_directory, key) == volume.name:
        try:
            return lower_file(cache_directory, key).stat().st_mtime
        except OSError:
            return 0.0
    return time_of(volume.created)


def time_of(text: str) -> float:
    """Seconds since the epoch of a time as the engine writes it; 0 where it writes none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
