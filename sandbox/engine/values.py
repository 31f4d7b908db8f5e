"""What an engine tells of its images, containers and itself, and the labels we put on them."""

import os
import socket
from collections.abc import Mapping

from policies.frozen import dataclass

LABEL_MANAGED = "moonpool.managed"
LABEL_RUN = "moonpool.run"
SAMPLE_RUN = "inspect-"
"""How the name of a run begins that is a sample of somebody's evaluation: it has no record, and no
work stands in its container that anybody would want back."""
LABEL_OWNER = "moonpool.owner"
"""The user and the machine (`owner`)."""
LABEL_DEADLINE = "moonpool.deadline"
"""Seconds since the epoch after which anyone may remove the thing (`moonpool prune`)."""

LABEL_POOL = "moonpool.pool"
"""On a container and its volumes that were made ahead of need: the process that did, which owns
them (`sandbox.supply`). Of which run such a container is says its name, once it is one's:
an engine changes no label."""

LABEL_SNAPSHOT = "moonpool.snapshot"
"""On an image: the content key of the workspace copy in it."""

LABEL_LAYERS = "moonpool.workspace-layers"
"""On such an image: in how many of its uppermost layers the workspace is; 0: perhaps in any."""

LABEL_LOWER = "moonpool.lower"
"""On a volume: the key of what an image holds at a path, under the mounts of sandboxes."""

LABEL_PREPARED = "moonpool.prepared"
"""On an image: the id of the image that it was prepared from."""

LABEL_PYTHON = "moonpool.python"
"""On a prepared image: the path of the Python that was brought into it for the guest."""

LABEL_MOVED = "moonpool.moved"
"""On a prepared image: the folder of the image that is a link to the workspace in it."""

LABEL_SETUP = "moonpool.setup"
"""On an image: the name of the set-up layer that it is, or that it rests on."""

LABEL_ATTEMPT = "moonpool.setup-attempt"
"""On a container: the name of the layer that the set-up in it was to become."""

LABEL_LEFT = "moonpool.setup-left"
"""On an image: set-up left files in the workspace, which are part of a baseline."""

LABEL_FOREIGN = "moonpool.foreign"
"""On an image of ours: what stands in it may be another's, so the guest trusts none of it."""

LABEL_REPLACED = "moonpool.setup-replaced"
"""On such an image: programs of the image below, and what they load, that set-up replaced; a JSON
list of paths."""

LABEL_PROXY = "moonpool.proxy"
"""On a container and its volume: the key of what the proxy in it lets through."""


def owner() -> str:
    """Whose the containers are that this process makes."""
    return f"{os.getuid()}@{socket.gethostname()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """An image as the engine describes it."""

    id: str
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    size_bytes: int
    created: str
    """RFC 3339."""
    tagged: str = ""
    """When this engine last gave it a name, likewise; empty where it does not say."""
    layers: tuple[str, ...]
    """Content ids of its layers, bottom first."""
    architecture: str
    os: str
    environment: tuple[str, ...] = ()
    """What the image sets for its processes, as ``NAME=VALUE``."""
    volumes: tuple[str, ...] = ()
    """Paths at which the engine puts a volume of its own into each container."""
    directory: str = ""
    """Where its processes start unless told otherwise; empty: it does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerInfo:
    """A container in a list."""

    id: str
    labels: Mapping[str, str]
    state: str
    """``created``, ``running``, ``paused``, ``exited`` or ``dead``."""
    name: str = ""
    """As the engine has it, without the slash before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeInfo:
    """A volume of the engine's own driver."""

    name: str
    labels: Mapping[str, str]
    mountpoint: str
    """Where its files are, on the engine's host."""
    created: str
    """RFC 3339."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    version: str
    operating_system: str
    kernel: str
    storage_driver: str
    cgroup_version: str
    rootless: bool
    endpoint: str
