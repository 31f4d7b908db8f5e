"""What the operator's environment says: the only module of this room that reads it."""

# Imports stand where they are needed, so that a command loads no SDK it does not use; and this is
# the terminal, where printing is the point.
# ruff: noqa: PLC0415

import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from agent.errors import UsageError

_SECRET_NAMES = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS")


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


def policy_directory() -> Path:
    """Where an operator keeps policies of their own, by name."""
    return Path(platformdirs.user_config_path("moonpool")) / "policies"


def ceiling_file() -> Path:
    """The operator's ceiling over every policy, where there is one."""
    return Path(platformdirs.user_config_path("moonpool")) / "ceiling.yaml"


def known_secrets() -> tuple[str, ...]:
    """Values that must not get into a record, by the names of their variables."""
    return tuple(
        value for name, value in os.environ.items() if name.upper().endswith(_SECRET_NAMES)
    )


def default_model() -> str:
    """The model where none is named.

    Raises:
        UsageError: there is no key for one.
    """
    from agent.models.registry import DEFAULT_MODEL

    if os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_AUTH_TOKEN"):
        return DEFAULT_MODEL
    raise UsageError(
        "no model: set ANTHROPIC_API_KEY, or name one with -m; -m script:FILE plays a recorded "
        "conversation and needs no key"
    )
