"""Which programs an image holds: the facts that turn a policy's names into kernel rules.

Taken once per image, by the guest, before anything of a workspace is in it. Owns the shape only.
"""

from collections.abc import Mapping
from dataclasses import field

from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A regular file outside the workspace that the kernel would execute."""

    path: str
    """Absolute, with no symlink in it."""
    interpreter: str | None
    """For a ``#!`` script: what the kernel takes of that line, as written. None: an ELF program."""
    inode: int
    """Two programs with one number are one file by two names (hard links), or copies of it."""
    needs: tuple[str, ...] = ()
    """For an ELF program: names of the libraries that its loader looks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    programs: Mapping[str, Program]
    """By path."""
    scripts: Mapping[str, Program] = field(default_factory=dict)
    """Marked executable and outside the PATH, by path. Who may read may read them; they run where a
    policy names one by its path, or a bundle does."""
    libraries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Shared objects, which a program of any name can load: the libraries that each needs itself,
    by path."""
    links: Mapping[str, str]
    """Symlinks in the directories listed below, and those to programs: absolute path to the path of
    the file or directory it finally leads to, absolute too."""
    directories: Mapping[str, tuple[str, ...]]
    """Every directory with a program or a library in or below it: the names of its children; a name
    that ends in ``/`` is a directory, in ``@`` a symlink. ``/`` is always there."""
    search_path: tuple[str, ...]
    """The PATH of commands, in order."""
