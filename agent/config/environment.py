"""What the operator's environment says; beside the command line the one module that reads it."""

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from agent.errors import UsageError

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
    """Where runs are recorded: ``MOONPOOL_HOME``, or the platform's state directory.

    Raises:
        UsageError: it is relative.
    """
    return _named_by("MOONPOOL_HOME") or _own_directory("XDG_STATE_HOME", ".local/state")


def _named_by(variable: str) -> Path | None:
    """The path in a variable; None: it is not set.

    A relative one would name another file in each directory, and in a repository that nobody
    trusts one of the repository's: an editor or a client starts its servers there.
    """
    given = os.environ.get(variable)
    if not given:
        return None
    path = Path(os.path.expanduser(given))
    if not path.is_absolute():
        raise UsageError(
            f"{variable}={given} is no absolute path, and would be a file of whatever directory a "
            "command is started in: give the whole path"
        )
    return path


def user_directory() -> Path | None:
    """The home directory of whoever runs this process; None: there is none."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def user() -> str:
    """The name of whoever runs this process."""
    import getpass  # noqa: PLC0415 - for a review only

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _own_directory(variable: str, default: str) -> Path:
    """Ours in one of the user's, by the XDG Base Directory Specification: a relative path in the
    variable counts for none, `default` is relative to the home directory."""
    given = os.environ.get(variable, "")
    return Path(given if os.path.isabs(given) else os.path.expanduser(f"~/{default}"), "moonpool")


def _configuration_directory() -> Path:
    return _own_directory("XDG_CONFIG_HOME", ".config")


def cache_directory() -> Path:
    """What can be made again: `sandbox.cache.cache_directory`, of which a completion loads
    nothing."""
    return _own_directory("XDG_CACHE_HOME", ".cache")


def policy_directory() -> Path:
    """Where an operator keeps policies of their own, by name."""
    return _configuration_directory() / "policies"


def skill_directory() -> Path:
    """Where an operator keeps skills for every run."""
    return _configuration_directory() / "skills"


def ceiling_file() -> Path:
    """The operator's ceiling over every policy, where there is one."""
    return _configuration_directory() / "ceiling.yaml"


def configuration_file() -> tuple[Path, bool]:
    """The operator's configuration, and whether ``MOONPOOL_CONFIG`` says that it is there.

    Raises:
        UsageError: it is relative.
    """
    given = _named_by("MOONPOOL_CONFIG")
    if given is not None:
        return given, True
    return _configuration_directory() / "config.yaml", False


def deciding_directories() -> tuple[Path, ...]:
    """What stands in them decides over runs to come: no run may write there."""
    return _configuration_directory(), cache_directory()


def stands(path: Path) -> bool:
    """Whether there is such a file of the operator's. What can't be looked at is no absence."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass  # reading it says what is wrong
    return True


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
