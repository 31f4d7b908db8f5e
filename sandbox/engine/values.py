"""What an engine tells of its images, its containers and itself, as values."""

from collections.abc import Mapping

from policies.frozen import dataclass


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
    api_version: str
    operating_system: str
    kernel: str
    storage_driver: str
    cgroup_version: str
    security_options: tuple[str, ...]
    rootless: bool
    endpoint: str
