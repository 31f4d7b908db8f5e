"""Volumes under the mounts that can't be executed: made for one sandbox, removed with it.

Two kinds. Upper and work directories belong to one sandbox. Lower directories hold what an image
has at a path, filled once by the engine's own copying, and are shared: they are a cache, found
again through a file on the host that is written when they are full.
"""

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from policies.frozen import dataclass
from policies.paths import WORKSPACE
from policies.shell.words import HOME
from sandbox import cache
from sandbox.container.mounts import (
    HELD,
    LOWER,
    PLACES,
    UPPER,
    WORK,
    HeldVolume,
    Mount,
    Overlay,
    Scratch,
)
from sandbox.container.spec import shelf
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_LOWER, LABEL_MANAGED, VolumeInfo
from sandbox.errors import VolumeRefused

_TMP_SHARE = 4
"""One part in so many of the memory limit, which these files count towards. Full, and with /dev/shm
full as well, they leave a quarter of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeVolume:
    mounts: tuple[Mount, ...]
    names: tuple[str, ...]
    """Volumes that nobody else uses."""


def make(
    engine: Engine,
    *,
    snapshot_image: str,
    prepared_image: str,
    memory_bytes: int,
    labels: Mapping[str, str],
) -> MadeVolume:
    """The mounts of one sandbox, and its volumes, which the caller removes.

    Raises:
        VolumeRefused: the engine makes no such volumes.
        EngineError: it fails otherwise.
    """
    names: list[str] = []
    mounts: list[Mount] = [
        Scratch(target="/tmp", size_bytes=memory_bytes // _TMP_SHARE)  # noqa: S108
    ]
    try:
        for place, target, image in zip(
            PLACES, (WORKSPACE, HOME), (snapshot_image, prepared_image), strict=True
        ):
            upper = engine.create_volume(_name(), labels)
            names.append(upper.name)
            work = engine.create_volume(_name(), labels)
            names.append(work.name)
            held = f"{HELD}/{place}"
            mounts += (
                HeldVolume(volume=upper.name, target=held + UPPER, copies=True),
                HeldVolume(volume=work.name, target=held + WORK, copies=False),
            )
            layers = engine.workspace_layers(image) if target == WORKSPACE else ()
            if not layers:
                lower = _lower(engine, image, target)
                mounts.append(HeldVolume(volume=lower.name, target=held + LOWER, copies=False))
                sources = [lower.mountpoint]
            else:
                # All of the workspace is in these, and nothing of the image.
                sources = [layer + target for layer in layers]
            overlay = Overlay(
                target=target,
                lower=sources[0],
                further=tuple(sources[1:]),
                upper=upper.mountpoint,
                work=work.mountpoint,
                user_attributes=engine.rootless(),
            )
            if not overlay.supported():
                raise VolumeRefused(f"the engine keeps its volumes at {upper.mountpoint!r}")
            mounts.append(overlay)
    except BaseException:
        engine.remove_volumes(names)
        raise
    return MadeVolume(mounts=tuple(mounts), names=tuple(names))


def _name() -> str:
    return f"moonpool-{secrets.token_hex(12)}"


def _lower(engine: Engine, image: str, path: str) -> VolumeInfo:
    """A volume that holds what an image has at a path."""
    key = hashlib.sha256(f"{image} {path}".encode()).hexdigest()[:32]
    file = lower_file(engine.cache, key)
    name = published(engine.cache, key)
    found = None if name is None else engine.volume(name)
    if found is not None and found.labels.get(LABEL_LOWER) == key:
        with contextlib.suppress(OSError):
            os.utime(file)  # its age tells `prune` when the volume was last used
        return found
    made = engine.create_volume(_name(), {LABEL_MANAGED: "1", LABEL_LOWER: key})
    try:
        # The engine copies when it makes the container; the container is of no use after that.
        held = {"Type": "volume", "Source": made.name, "Target": path}
        engine.remove(engine.create({**shelf(image), "HostConfig": {"Mounts": [held]}}))
    except BaseException:
        engine.remove_volumes((made.name,))
        raise
    # Only now: another process may use it from here on.
    cache.keep(file, json.dumps({"volume": made.name}).encode())
    return made


def published(cache_directory: Path, key: str) -> str | None:
    """The name of the shared volume of a key, once it is full."""
    try:
        return str(json.loads(lower_file(cache_directory, key).read_bytes())["volume"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def lower_file(cache_directory: Path, key: str) -> Path:
    """Where the name of the shared volume of a key is kept."""
    return cache_directory / "volumes" / f"{key}.json"
