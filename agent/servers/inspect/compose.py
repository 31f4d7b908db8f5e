"""A compose file as far as one sealed container goes; the rest is refused, and named by its key.

Nothing is passed over in silence: a key either has its effect here, or asks for what is so anyway
(no network, no capabilities), or makes no difference in a container whose main process is ours.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from inspect_ai.util import ComposeBuild, ComposeConfig, ComposeService

from agent.errors import UsageError
from policies.frozen import dataclass

_SIZE = re.compile(r"([0-9]+)\s*(b|k|kb|m|mb|g|gb)?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_IDLE = re.compile(r"sleep (infinity|inf|[0-9]+[smhd]?)|tail -f /dev/null|cat|bash|sh|/bin/(ba)?sh")
"""What is started only to keep a container standing: ours stands without it."""
_POLICY_KEY = "x-moonpool"
_OWN = {"x-default", "x-local", _POLICY_KEY}
_USED = {
    "image", "build", "working_dir", "environment", "cpus", "mem_limit", "pids_limit", "deploy",
    *_OWN,
}  # fmt: skip


def _is_idle(value: object) -> bool:
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    shell = re.fullmatch(r"(?:/bin/)?(?:ba)?sh -l?c ['\"]?(.*?)['\"]?", text)
    return _IDLE.fullmatch((shell[1] if shell else text).strip()) is not None


def _anything(_: object) -> bool:
    return True


_SO_ANYWAY: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "command": (_is_idle, "the container's main process is Moonpool's own: start it by exec"),
    "entrypoint": (_is_idle, "the container's main process is Moonpool's own: start it by exec"),
    "network_mode": (lambda mode: mode == "none", "there is no network"),
    "cap_drop": (_anything, ""),
    "security_opt": (
        lambda options: set(options) <= {"no-new-privileges", "no-new-privileges:true"},
        "the container's own are fixed",
    ),
    "privileged": (lambda value: not value, "nothing in the container has a privilege"),
    "init": (_anything, ""),
    "stdin_open": (_anything, ""),
    "tty": (lambda value: not value, "there is no terminal"),
    "stop_grace_period": (_anything, ""),
    "restart": (lambda value: value == "no", "a container is not started again for another sample"),
    "pull_policy": (
        lambda value: value in {"never", "missing", "if_not_present", "build"},
        "nothing is pulled: `docker pull` the image first",
    ),
}
"""Keys with what their value has to be, for it to be so anyway or to make no difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedSandbox:
    """What a compose file asks for."""

    name: str
    """Of the service."""
    policy: str | None
    image: str | None
    context: str | None
    """The folder of a Dockerfile; None: nothing is built."""
    dockerfile: str
    working_dir: str | None
    environment: Mapping[str, str]
    limits: Mapping[str, float | int | None]
    """By field of a policy's limits; None: the policy's own."""


def composed(config: ComposeConfig) -> ComposedSandbox:
    """What the one service of a compose file asks for. Raises `UsageError`."""
    for key in ("volumes", "networks"):
        if getattr(config, key):
            raise UsageError(f"{key}: a sandbox has none; files come with the sample's `files`")
    if len(config.services) != 1:
        listed = ", ".join(config.services)
        raise UsageError(f"services: one container is all there is, and these are: {listed}")
    ((name, service),) = config.services.items()
    said = service.model_dump(exclude_unset=True, exclude_none=True, by_alias=True)
    _interpolation(said, f"services.{name}")
    for key, value in said.items():
        _permit(f"services.{name}.{key}", key, value)
    extensions = {**config.extensions, **service.extensions}
    for key in extensions:
        if key.startswith(_POLICY_KEY) and key != _POLICY_KEY:
            raise UsageError(f"{key} is not known: write {_POLICY_KEY}: {{policy: NAME}}")
    context, dockerfile = _build(f"services.{name}.build", service.build)
    return ComposedSandbox(
        name=name,
        policy=_policy(extensions.get(_POLICY_KEY)),
        image=service.image,
        context=context,
        dockerfile=dockerfile,
        working_dir=service.working_dir,
        environment=_environment(f"services.{name}.environment", service.environment),
        limits=_limits(f"services.{name}", service),
    )


def _permit(path: str, key: str, value: object) -> None:
    if key in _USED or key.startswith("x-") or value in ([], {}, ""):
        return
    if key not in _SO_ANYWAY:
        raise UsageError(f"{path}: a sealed container has nothing of the kind")
    fits, why = _SO_ANYWAY[key]
    if not fits(value):
        raise UsageError(f"{path}: {value!r:.80} can't be had: {why}")


def _interpolation(value: object, path: str) -> None:
    """Refuse ``${VARIABLE}``: which of the host's variables come in is not for a file to say."""
    match value:
        case str() if "$" in value.replace("$$", ""):
            raise UsageError(f"{path}: variables are not replaced: write the value itself")
        case dict():
            for key, item in value.items():
                _interpolation(item, f"{path}.{key}")
        case list():
            for item in value:
                _interpolation(item, path)
        case _:
            pass


def _policy(said: object) -> str | None:
    match said:
        case None:
            return None
        case {"policy": str(name), **rest} if not rest:
            return name
        case _:
            raise UsageError(f"{_POLICY_KEY}: expected {{policy: NAME}}")


def _build(path: str, build: ComposeBuild | str | None) -> tuple[str | None, str]:
    if build is None:
        return None, ""
    if isinstance(build, str):
        return build, "Dockerfile"
    for key in build.model_dump(exclude_unset=True, exclude_none=True):
        if key not in {"context", "dockerfile"}:
            raise UsageError(f"{path}.{key}: of a build, context and dockerfile are used")
    return build.context or ".", build.dockerfile or "Dockerfile"


def _environment(path: str, said: list[str] | dict[str, str | None] | None) -> Mapping[str, str]:
    rows = said.items() if isinstance(said, dict) else [_pair(row) for row in said or ()]
    found: dict[str, str] = {}
    for name, value in rows:
        if value is None:
            raise UsageError(f"{path}.{name} has no value: none is taken from the host")
        found[name] = str(value).replace("$$", "$")
    return found


def _pair(row: str) -> tuple[str, str | None]:
    name, given, value = row.partition("=")
    return name, value if given else None


def _limits(path: str, service: ComposeService) -> Mapping[str, float | int | None]:
    deploy = service.deploy.resources if service.deploy is not None else None
    if deploy is not None and deploy.reservations is not None:
        raise UsageError(f"{path}.deploy.resources.reservations: nothing is reserved")
    limits = deploy.limits if deploy is not None else None
    cpus = service.cpus if limits is None or limits.cpus is None else limits.cpus
    memory = service.mem_limit if limits is None or limits.memory is None else limits.memory
    return {
        "cpus": None if cpus is None else _positive(f"{path}.cpus", float, cpus),
        "memory_bytes": None if memory is None else _size(f"{path}.mem_limit", memory),
        "pids": None
        if service.pids_limit is None
        else int(_positive(f"{path}.pids_limit", int, service.pids_limit)),
    }


def _positive(path: str, kind: Callable[[Any], float], value: object) -> float:
    try:
        number = kind(value)
    except ValueError:
        number = 0
    if not 0 < number < 1 << 32:
        raise UsageError(f"{path}: {value!r:.40} is no number above 0")
    return number


def _size(path: str, text: str) -> int:
    parts = _SIZE.fullmatch(str(text).strip())
    if parts is None or not int(parts[1]):
        raise UsageError(f"{path}: {text!r:.40} is no size, such as 512m or 2g")
    return int(parts[1]) * _UNITS[(parts[2] or "").lower()[:1]]
