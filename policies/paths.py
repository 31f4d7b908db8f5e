"""Paths as text: which of them a policy lets be written or read, as far as text can say.

Lexical only. Links, and a working directory that a command changed, are the kernel's to settle.
"""

import posixpath
from collections.abc import Iterable
from enum import StrEnum

from policies.policy import Policy
from policies.shell.words import HOME

WORKSPACE = "/workspace"
SCRATCH = ("/tmp", "/var/tmp")  # noqa: S108 - paths in the container, its own
"""One directory: in every sandbox the second is a link to the first."""
DEVICES = (
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx",
)  # fmt: skip
STREAMS = (
    *DEVICES, "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/fd", "/dev/pts", "/proc/self/fd",
    "/dev/shm",  # noqa: S108 - the container's own
)  # fmt: skip

SERVICES = "/moonpool-services"
"""Holds a directory for each service, which commands can neither read nor write."""

MAX_PATH = 4096


class PathStanding(StrEnum):
    """What the text of a path says of it."""

    INSIDE = "inside"
    OUTSIDE = "outside"
    UNCERTAIN = "uncertain"
    """It depends on the working directory of the moment."""


def within(path: str, top: str) -> bool:
    return top in {path, "/"} or path.startswith(top.rstrip("/") + "/")


def within_any(path: str, tops: Iterable[str]) -> bool:
    """Is it at one of these places, or below one?"""
    return any(within(path, top) for top in tops)


def normal(path: str) -> str:
    """An absolute path, also of a policy's entry, without ``.``, ``..`` and doubled slashes."""
    return posixpath.normpath("/" + posixpath.join(WORKSPACE, path).lstrip("/"))


def place(policy: Policy, path: str) -> str:
    """As `normal`, with the workspace's other name read as its own."""
    plain = normal(path)
    if policy.paths.alias and within(plain, policy.paths.alias):
        return WORKSPACE + plain.removeprefix(policy.paths.alias)
    return plain


def writable_tops(policy: Policy) -> tuple[str, ...]:
    return (*(normal(entry) for entry in policy.paths.write), *SCRATCH, HOME)


def readable_tops(policy: Policy) -> tuple[str, ...] | None:
    """None: everything."""
    if policy.paths.read is None:
        return None
    return (*(normal(entry) for entry in policy.paths.read), *writable_tops(policy))


def write_standing(policy: Policy, path: str, *, moved: bool) -> PathStanding:
    """May a redirection write there? ``moved``: the command itself changes the directory."""
    if not path.startswith("/") and (".." in path.split("/") or moved):
        return PathStanding.UNCERTAIN
    inside = within_any(place(policy, path), (*writable_tops(policy), *STREAMS))
    return PathStanding.INSIDE if inside else PathStanding.OUTSIDE


def path_complaint(path: object) -> str | None:
    """What makes it no path at all; None: it is one."""
    if not isinstance(path, str) or not path:
        return "a path is a text that is not empty"
    if "\x00" in path:
        return "a path can't hold a NUL"
    if len(path) > MAX_PATH:
        return f"a path has at most {MAX_PATH} characters"
    if any(0xD800 <= ord(sign) <= 0xDFFF for sign in path):
        return "a path is UTF-8 text"
    return None
