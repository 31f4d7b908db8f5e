"""What an allowed program brings along: the data in `programs.yaml`, matched with an image.

Owns reading that file and its patterns. Refuses to know policies and Landlock.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any

from policies.file.document import packaged
from policies.frozen import dataclass

_MACHINE = re.compile(r"^[a-z0-9_]+-linux-[a-z0-9]+-")
_VERSION = re.compile(r"[-.]?[0-9]+(\.[0-9]+)*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What one program needs to do its work."""

    brings: tuple[str, ...] = ()
    """Names, absolute paths or path patterns of what becomes executable."""
    reads: tuple[str, ...] = ()
    """Path patterns of what becomes readable only."""
    owns: tuple[str, ...] = ()
    """Patterns of the names of libraries that hold the program itself: who loads one, runs it."""
    also: tuple[str, ...] = ()
    """Patterns of its other names, by which it does nothing that it does not do by this one."""
    multicall: bool = False
    """Does it do what the name says by which it is started, or the script that names it?"""


@dataclass(frozen=True, kw_only=True)
class Bundles:
    always: Bundle
    programs: dict[str, Bundle]
    tools: dict[str, tuple[str, ...]]
    """By tool: alternatives, the first that the image holds is brought."""
    unneeded: tuple[str, ...]
    """Directories not worth taking apart."""

    def of(self, name: str) -> Bundle:
        return self.programs.get(name, Bundle())

    @cached_property
    def owners(self) -> Mapping[str, frozenset[str]]:
        """By pattern of a library's name: the programs that it belongs to."""
        found: dict[str, set[str]] = {}
        for name, bundle in self.programs.items():
            for pattern in bundle.owns:
                found.setdefault(pattern, set()).add(name)
        return {pattern: frozenset(names) for pattern, names in found.items()}


@lru_cache(maxsize=4096)
def stem(name: str) -> str:
    """A program's name without the machine and the version that distributions put around it."""
    return _VERSION.sub("", _MACHINE.sub("", name)) or name


@lru_cache(maxsize=1)
def bundles() -> Bundles:
    """The data that comes with Moonpool."""
    data: Any = packaged("programs.yaml").data
    programs: dict[str, Bundle] = {}
    for name, entry in data["programs"].items():
        while "like" in entry:
            entry = data["programs"][entry["like"]]  # noqa: PLW2901 - a reference, followed
        programs[name] = _bundle(entry)
    return Bundles(
        always=_bundle(data["always"]),
        programs=programs,
        tools=data["tools"],
        unneeded=data["unneeded"],
    )


def _bundle(entry: Any) -> Bundle:
    return Bundle(
        brings=tuple(entry.get("brings", ())),
        reads=tuple(entry.get("reads", ())),
        owns=tuple(entry.get("owns", ())),
        also=tuple(entry.get("also", ())),
        multicall=entry.get("multicall", False),
    )


def is_pattern(entry: str) -> bool:
    return "*" in entry


def matching(patterns: Iterable[str], paths: Iterable[str]) -> list[str]:
    """The paths that the patterns name; a later ``!`` takes out what an earlier one named."""
    compiled = [(not p.startswith("!"), _compiled(p.removeprefix("!"))) for p in patterns]
    found: list[str] = []
    for path in paths if compiled else ():
        named = False
        for adds, expression in compiled:
            if expression.fullmatch(path):
                named = adds
        if named:
            found.append(path)
    return found


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    everything_below = pattern.endswith("/**")
    body = pattern.removesuffix("/**")
    expression = "[^/]*".join(re.escape(part) for part in body.split("*"))
    return re.compile(expression + ("/.*" if everything_below else ""), re.DOTALL)
