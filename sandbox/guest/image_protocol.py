"""What the guest tells of an image, which it looks through once, before there are sandboxes of it.

Apart from `protocol`, because what is resident in every container has no use for it. The answers
belong to no request: their number is 0.
"""

from __future__ import annotations

from sandbox.guest.message import Fields, GuestAnswer


class FoundProgram(Fields):
    path: bytes
    line: bytes | None
    """What the kernel takes of a script's first line."""
    identity: int
    """Equal for hard links and copies of one file."""
    needs: list[bytes]
    """Names of libraries."""


class FoundLibrary(Fields):
    path: bytes
    needs: list[bytes]


class FoundLink(Fields):
    path: bytes
    target: bytes


class FoundPrograms(GuestAnswer):
    on_path: bool
    """In a directory of the PATH, or a binary; else a script outside of it."""
    programs: list[FoundProgram]


class FoundLibraries(GuestAnswer):
    libraries: list[FoundLibrary]


class FoundLinks(GuestAnswer):
    links: list[FoundLink]


class FoundDirectory(GuestAnswer):
    path: bytes
    names: list[bytes]
    """Some or all; ``/`` at the end for a directory, ``@`` for a link."""


class CompiledModule(GuestAnswer):
    """One of the guest's own, for the Python of this image."""

    name: bytes
    code: bytes


class ImageSeen(GuestAnswer):
    """The last one."""

    search_path: bytes
