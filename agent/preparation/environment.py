"""What the operator's environment says: the only module of this room that reads it."""

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import platformdirs

_SECRET_NAMES = (
    *("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS"),
    *("AWS_BEARER_TOKEN_BEDROCK", "ANTHROPIC_CUSTOM_HEADERS", "EXPORTER_OTLP_HEADERS"),
)

_IN_HEADERS = re.compile(
    r"(?i)[\w-]*(?:auth|key|token|secret)[\w-]*\s*[:=]\s*(?:(?:bearer|basic)(?:\s|%20)+)?([^,\n]+)"
).finditer
"""Headers in one variable, as ``name=value,…`` or ``name: value`` by lines: the secrets alone."""


def environ() -> Mapping[str, str]:
    return os.environ


def home() -> Path:
    """Where runs are recorded: ``MOONPOOL_HOME``, or the platform's state directory."""
    given = os.environ.get("MOONPOOL_HOME")
    return (
        Path(given).expanduser().absolute()
        if given
        else Path(platformdirs.user_state_path("moonpool"))
    )


def user() -> str:
    """The name of whoever runs this process."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def policy_directory() -> Path:
    """Where an operator keeps policies of their own, by name."""
    return Path(platformdirs.user_config_path("moonpool")) / "policies"


def skill_directory() -> Path:
    """Where an operator keeps skills for every run."""
    return Path(platformdirs.user_config_path("moonpool")) / "skills"


def cache_directory() -> Path:
    """What can be made again."""
    return Path(platformdirs.user_cache_path("moonpool"))


def ceiling_file() -> Path:
    """The operator's ceiling over every policy, where there is one."""
    return Path(platformdirs.user_config_path("moonpool")) / "ceiling.yaml"


def configuration_file() -> tuple[Path, bool]:
    """The operator's configuration, and whether ``MOONPOOL_CONFIG`` says that it is there."""
    given = os.environ.get("MOONPOOL_CONFIG")
    if given:
        return Path(given).expanduser().absolute(), True
    return Path(platformdirs.user_config_path("moonpool")) / "config.yaml", False


def known_secrets(more: Collection[str] = ()) -> tuple[str, ...]:
    """Values that must not get into a record, by the names of their variables.

    Args:
        more: variables that the operator's configuration says hold a secret.
    """
    whole = [
        value
        for name, value in os.environ.items()
        if name.upper().endswith(_SECRET_NAMES) or name in more
    ]
    return tuple({*whole, *(found[1].strip() for value in whole for found in _IN_HEADERS(value))})
