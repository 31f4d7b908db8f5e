"""What an operator asks of a sandbox in Inspect's terms: a policy, an image, where to work.

Owns the forms: the name of a policy or its file, a Dockerfile, a compose file or the same as a
value, and `MoonpoolSandboxConfig`. All of them are the operator's, as is the task that names them.
Refuses to know Inspect's provider and the engine.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from inspect_ai.util import (
    ComposeConfig,
    SandboxEnvironmentConfigType,
    is_compose_yaml,
    is_dockerfile,
    parse_compose_yaml,
)
from pydantic import BaseModel, ConfigDict

from agent.config import environment
from agent.errors import UsageError
from agent.preparation.policy import bounded
from agent.servers.inspect.compose import ComposedSandbox, composed
from policies.file import scalars
from policies.frozen import dataclass
from policies.loading import load
from policies.policy import Policy

DEFAULT_POLICY = "evals"
_NEEDS_FILES = re.compile(r"^\s*(COPY|ADD)\s", re.IGNORECASE | re.MULTILINE)


class MoonpoolSandboxConfig(BaseModel, frozen=True):
    """``SandboxEnvironmentSpec("moonpool", MoonpoolSandboxConfig(policy="read-only"))``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    policy: str | None = None
    """A bundled policy's name, one of the operator's own, or a file; None: `evals`."""
    image: str | None = None
    """In place of the policy's: a recipe, an image of the engine, or the path of a Dockerfile."""
    working_dir: str | None = None
    """A folder of the image to work in; None: the image's own if it can be one, or an empty one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRequest:
    """One sandbox that is to be opened."""

    policy: Policy
    """Under the operator's ceiling."""
    working_dir: str | None
    name: str = "default"
    """What Inspect calls it."""


def request_of(config: SandboxEnvironmentConfigType | None) -> SandboxRequest:
    """What a configuration asks for.

    Raises:
        PolicyError: the policy or the ceiling can't be used.
        UsageError: it asks for what this sandbox is not; names the key.
    """
    match config:
        case None:
            return _request(MoonpoolSandboxConfig())
        case MoonpoolSandboxConfig():
            return _request(config)
        case ComposeConfig():
            return _composed(config, Path.cwd())
        case str() if is_compose_yaml(config):
            try:
                found = parse_compose_yaml(config)
            except (OSError, ValueError) as error:
                raise UsageError(f"{config} can't be used: {error}") from error
            return _composed(found, Path(config).absolute().parent)
        case str() if is_dockerfile(config):
            return _request(MoonpoolSandboxConfig(image=dockerfile(Path(config))))
        case str():
            return _request(MoonpoolSandboxConfig(policy=config))
        case _:
            raise UsageError(f"a configuration of type {type(config).__name__} is not known")


def dockerfile(file: Path) -> str:
    """The image of a Dockerfile: of that file alone, or of its folder where it copies from there.

    Raises `UsageError`.
    """
    file = file.absolute()
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror}") from error
    if not _NEEDS_FILES.search(text):
        return str(file)
    if file.name != "Dockerfile":
        raise UsageError(f"{file} copies from its folder: there it has to be called Dockerfile")
    return str(file.parent)


def _composed(config: ComposeConfig, folder: Path) -> SandboxRequest:
    asked = composed(config)
    image = asked.image
    if asked.context is not None:
        place = folder / asked.context
        image = dockerfile(place / asked.dockerfile)
    named = MoonpoolSandboxConfig(policy=asked.policy, image=image, working_dir=asked.working_dir)
    return _request(named, asked)


def _request(config: MoonpoolSandboxConfig, asked: ComposedSandbox | None = None) -> SandboxRequest:
    name = config.policy or DEFAULT_POLICY
    policy = load(name, directory=environment.policy_directory())
    if config.image is not None:
        try:
            policy = replace(policy, image=scalars.image(config.image))
        except ValueError as error:
            raise UsageError(f"image {config.image!r:.200}: {error}") from error
    if asked is not None:
        bounds = {key: value for key, value in asked.limits.items() if value is not None}
        policy = replace(
            policy,
            env={**policy.env, **_judged(asked.environment)},
            limits=replace(policy.limits, **bounds),  # type: ignore[arg-type]  # their own types
        )
    return SandboxRequest(
        policy=bounded(policy),
        working_dir=config.working_dir,
        name="default" if asked is None else asked.name,
    )


def _judged(environment: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in environment.items():
        try:
            scalars.env_name(name)
            scalars.env_value(value)
        except ValueError as error:
            raise UsageError(f"environment.{name} {error}") from None
    return environment
