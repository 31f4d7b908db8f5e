"""What of an image's own variables its commands get: an activated environment is made of them.

Owns which could turn a command into another before the policy has looked at it. Pure.
"""

from collections.abc import Iterable, Sequence

from policies.file.names import HIJACKING, OURS
from policies.paths import SCRATCH, WORKSPACE, normal, within
from policies.shell.words import HOME

_VALUE_LIMIT = 1 << 15
_TOTAL_LIMIT = 1 << 17
_SHELL_FILE = "BASH_ENV"
_PLAIN_LOCALES = {"C", "C.UTF-8", "C.utf8", "POSIX"}


def passed_on(said: Sequence[str], *, written: Iterable[str]) -> dict[str, str]:
    """Those that reach commands, by name.

    A file that every shell reads first (`BASH_ENV`) is among them where only the image can have
    written it: conda and others activate their environment by it.

    Args:
        said: rows ``NAME=VALUE``, as the engine gives them.
        written: the policy's writable places, relative to the workspace or absolute.
    """
    found: dict[str, str] = {}
    room = _TOTAL_LIMIT
    for name, is_set, value in (row.partition("=") for row in said):
        room -= len(name) + len(value)
        if (
            not is_set
            or not _is_name(name)
            or not value.isprintable()
            or len(value) > _VALUE_LIMIT
            or room < 0
        ):
            continue
        if name == _SHELL_FILE:
            if _is_only_the_images(value, written):
                found[name] = value
        # Of the locales, ours means the same and costs a command less.
        elif not (HIJACKING.match(name) or name in OURS or _is_plain_locale(name, value)):
            found[name] = value
    return found


def _is_name(name: str) -> bool:
    return name.isidentifier() and name.isascii()


def _is_plain_locale(name: str, value: str) -> bool:
    return name in {"LANG", "LC_ALL"} and value in _PLAIN_LOCALES


def _is_only_the_images(path: str, written: Iterable[str]) -> bool:
    """By text: a link there that leads to the agent's files is the image's own doing."""
    tops = (WORKSPACE, HOME, *SCRATCH, "/proc", "/dev", *map(normal, written))
    return path.startswith("/") and not any(within(normal(path), top) for top in tops)
