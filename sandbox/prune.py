"""Removing what runs left behind: what is past its deadline, and snapshots nobody uses.

Owns the rule of what may go. Containers of runs that may still be resumed stay until their
deadline; only what carries our label is ever looked at.
"""

import contextlib
import time
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum

from policies.frozen import dataclass
from sandbox.container.inventory_cache import inventory_file
from sandbox.container.volumes import lower_file, published
from sandbox.engine.docker import Engine
from sandbox.engine.labels import (
    LABEL_DEADLINE,
    LABEL_LOWER,
    LABEL_MANAGED,
    LABEL_PREPARED,
    LABEL_RUN,
    LABEL_SNAPSHOT,
)
from sandbox.engine.values import ContainerInfo, ImageInfo, VolumeInfo
from sandbox.errors import EngineError
from sandbox.workspace.snapshot import manifest_file

SNAPSHOT_AGE_S = 7 * 24 * 3600
"""A workspace copy that no run has used for this long is removed."""
_FILLING_S = 3600


class LeftoverKind(StrEnum):
    CONTAINER = "container"
    VOLUME = "volume"
    SNAPSHOT = "snapshot"
    PREPARED_IMAGE = "prepared image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something of ours that stands."""

    kind: LeftoverKind
    id: str
    run: str = ""
    """The run it belonged to; empty where that is not known."""
    state: str = "stored"
    expired: bool
    """Whether it may be removed now."""
    deadline: float = 0.0
    """Until when a container stays, in s since the epoch."""


def leftovers(engine: Engine) -> tuple[Leftover, ...]:
    """Everything of ours that stands, expired or not: containers before what they use."""
    now = time.time()
    found = [
        Leftover(
            kind=LeftoverKind.CONTAINER,
            id=row.id,
            run=row.labels.get(LABEL_RUN, ""),
            state=row.state,
            expired=deadline < now,
            deadline=deadline,
        )
        for row in engine.containers(LABEL_DEADLINE)
        if (deadline := _deadline(row)) is not None
    ]
    found += [
        Leftover(
            kind=LeftoverKind.VOLUME,
            id=row.name,
            run=row.labels.get(LABEL_RUN, ""),
            expired=_volume_end(row) < now,
        )
        for row in engine.volumes(LABEL_MANAGED)
    ]
    # An image without a name was replaced by a newer one of the same content.
    unused_since = now - SNAPSHOT_AGE_S
    for image in engine.images(LABEL_SNAPSHOT):
        expired = not image.tags or _last_use(image) < unused_since
        found.append(Leftover(kind=LeftoverKind.SNAPSHOT, id=image.id, expired=expired))
    for image in engine.images(LABEL_PREPARED):
        if LABEL_SNAPSHOT not in image.labels:
            expired = not image.tags or _last_use(image) < unused_since
            found.append(Leftover(kind=LeftoverKind.PREPARED_IMAGE, id=image.id, expired=expired))
    return tuple(found)


def prune(
    engine: Engine, *, everything: bool = False, first: Callable[[Leftover], bool] = lambda _: True
) -> tuple[Leftover, ...]:
    """Remove what is expired; with `everything`, all of it, running sandboxes too.

    Args:
        first: called with each before it is removed, to save what is in it; False keeps it.

    Gives what was removed. A snapshot or volume that a standing container uses stays.
    """
    removed = []
    for item in leftovers(engine):
        if not (item.expired or everything):
            continue
        if not first(item):
            continue
        with contextlib.suppress(EngineError):
            match item.kind:
                case LeftoverKind.CONTAINER:
                    engine.remove(item.id)
                case LeftoverKind.VOLUME:
                    engine.remove_volume(item.id)
                case _:
                    engine.remove_image(item.id)
            removed.append(item)
    return tuple(removed)


def _deadline(row: ContainerInfo) -> float | None:
    """None for a container that is not ours: labels of an image are inherited by anyone's."""
    try:
        return float(row.labels[LABEL_DEADLINE])
    except (KeyError, ValueError):
        return None


def _volume_end(row: VolumeInfo) -> float:
    """When a volume may go: at its sandbox's deadline, or as a snapshot may."""
    key = row.labels.get(LABEL_LOWER)
    if key is None:
        try:
            return float(row.labels[LABEL_DEADLINE])
        except (KeyError, ValueError):
            return 0.0
    if published(key) != row.name:
        # Another process may be filling it at this moment.
        return _created(row) + _FILLING_S
    try:
        return lower_file(key).stat().st_mtime + SNAPSHOT_AGE_S
    except OSError:
        return 0.0


def _created(row: VolumeInfo) -> float:
    return time_of(row.created)


def time_of(text: str) -> float:
    """Seconds since the epoch of a time as the engine writes it; 0 where it writes none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def _last_use(image: ImageInfo) -> float:
    """When one was last opened, from the time of its file in the cache: a snapshot's manifest, a
    prepared image's inventory. One without may be another user's: it counts from when it came."""
    key = image.labels.get(LABEL_SNAPSHOT)
    known = manifest_file(key) if key is not None else inventory_file(_tag(image))
    try:
        return known.stat().st_mtime
    except OSError:
        return max(time_of(image.created), time_of(image.tagged))


def _tag(image: ImageInfo) -> str:
    return image.tags[0].rpartition(":")[2]
