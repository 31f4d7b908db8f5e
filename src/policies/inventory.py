"""Which programs an image holds: the facts that turn a policy's names into kernel rules.

Taken once per image, by the guest, before anything of a workspace is in it. Owns the shape only.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A regular file outside the workspace that the kernel would execute."""

    path: str
    """Absolute, with no symlink in it."""
    interpreter: str | None
    """For a ``#!`` script: its interpreter as written there (absolute). None: an ELF program."""
    inode: int
    """Two programs with one inode are hard links of each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    programs: Mapping[str, Program]
    """By path."""
    links: Mapping[str, str]
    """Symlinks in the directories listed below: absolute path to the absolute path of the file or
    directory it finally leads to."""
    directories: Mapping[str, tuple[str, ...]]
    """Every directory with a program in or below it: the names of its children; a name that ends
    in ``/`` is a directory, in ``@`` a symlink. ``/`` is always there."""
    search_path: tuple[str, ...]
    """The PATH of commands, in order."""
