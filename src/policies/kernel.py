"""The kernel's half of a policy: which paths may be executed, read, listed and written."""

from dataclasses import dataclass
from enum import IntFlag


class Access(IntFlag):
    """What a rule grants on a file, or on everything below a directory."""

    READ = 1
    WRITE = 2
    EXECUTE = 4
    LIST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRule:
    path: str
    """Absolute in the container."""
    access: Access


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRules:
    rules: tuple[PathRule, ...]
    missing: tuple[str, ...]
    """Programs that the policy lists and the image does not hold."""
    notes: tuple[str, ...]
    """What could not be held apart, for a person to read (a script brings its interpreter …)."""
