"""What an allowed program brings along: its bundle, its file's other names, libraries.

The data in `programs.yaml`, matched with an image; owns reading that file and its patterns. Refuses
to know Landlock. The kernel allows files, not names. Where a file does what it is called by
(busybox, a hard link, a link in /etc/alternatives), allowing one of its names allows all. Libraries
may be a program too: libperl loaded by an allowed Python runs Perl. Owns saying so, and which of an
image's shared objects stay out of reach, because the program that they hold is not listed. Where an
allowed program can't start without one, it comes along, and that is said.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any

from policies.errors import listed
from policies.file.document import packaged
from policies.frozen import dataclass
from policies.kernel.image import ContainerImage

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
        programs[name] = Bundle(**entry)
    return Bundles(
        always=Bundle(**data["always"]),
        programs=programs,
        tools=data["tools"],
        unneeded=data["unneeded"],
    )


def is_pattern(entry: str) -> bool:
    return "*" in entry


def matching(patterns: Iterable[str], paths: Iterable[str]) -> list[str]:
    """The paths that the patterns name; a later ``!`` takes out what an earlier one named."""
    begun = [(p.partition("*")[0].removeprefix("!"), p) for p in patterns]
    starts = tuple(start for start, _ in begun)
    found: list[str] = []
    # Most paths begin otherwise: an expression that none comes to is never compiled.
    for path in [path for path in paths if path.startswith(starts)] if starts else ():
        named = False
        for start, pattern in begun:
            if path.startswith(start) and _compiled(pattern.removeprefix("!")).fullmatch(path):
                named = not pattern.startswith("!")
        if named:
            found.append(path)
    return found


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    everything_below = pattern.endswith("/**")
    body = pattern.removesuffix("/**")
    expression = "[^/]*".join(re.escape(part) for part in body.split("*"))
    return re.compile(expression + ("/.*" if everything_below else ""), re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Libraries:
    withheld: frozenset[str]
    """Neither readable nor loadable: they belong to programs that are not listed."""
    loaded: tuple[tuple[str, str], ...]
    """Library and the executable program that needs it to start, though it holds another."""


def libraries(image: ContainerImage, executable: frozenset[str]) -> Libraries:
    """What may be loaded beside the programs that may run."""
    known: dict[str, list[str]] = {}
    for path in image.libraries:
        known.setdefault(posixpath.basename(path), []).append(path)
    one_each = {image.program(path).inode: path for path in executable}
    names = {name for path in one_each.values() for name in names_of(image, path)}
    held: set[str] = set()
    free: set[str] = set()
    owned = matching(bundles().owners, known)
    for pattern, owners in bundles().owners.items():
        paths = {path for name in matching([pattern], owned) for path in known[name]}
        (free if owners & names else held).update(paths)
    held -= free
    if not held:
        return Libraries(withheld=frozenset(), loaded=())
    loaded = {path: by for path, by in _needed(image, executable).items() if path in held}
    return Libraries(withheld=frozenset(held - loaded.keys()), loaded=tuple(sorted(loaded.items())))


def names_of(image: ContainerImage, path: str) -> list[str]:
    """A program's names: ``python`` is ``python3.11``, which needs what ``python3`` needs."""
    bases = [posixpath.basename(name) for name in (path, *image.other_names(path))]
    return [*bases, *map(stem, bases)]


def _needed(image: ContainerImage, executable: frozenset[str]) -> Mapping[str, str]:
    """Every library that the loader may take for an executable program, and one such program.

    By name alone, wherever it stands: which directories are searched is the program's secret.
    """
    by_name: dict[str, set[str]] = {}
    for path in image.libraries:
        for name in (path, *image.links_to(path)):
            by_name.setdefault(posixpath.basename(name), set()).add(path)
    found: dict[str, str] = {}
    waiting = [(need, path) for path in sorted(executable) for need in image.program(path).needs]
    seen: set[str] = set()
    while waiting:
        need, by = waiting.pop()
        name = posixpath.basename(need)
        if name in seen:
            continue
        seen.add(name)
        for path in by_name.get(name, ()):
            found.setdefault(path, by)
            waiting += [(further, by) for further in image.libraries[path]]
    return found


MAX_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFile:
    """An executable file with a name that no rule lists."""

    path: str
    listed: tuple[str, ...]
    """Its names that the policy lists, or that a listed program needs."""
    others: tuple[str, ...]
    """Names of other programs that it is as well. Absolute paths."""

    def __str__(self) -> str:
        names = sorted({posixpath.basename(other) for other in self.others})
        both = "both are" if len(self.listed) == len(names) == 1 else "all are"
        return (
            f"{', '.join(self.listed)} can't be held apart from "
            f"{listed(names, MAX_NAMED)} here: {both} {self.path}"
        )


def shared_files(
    image: ContainerImage, executable: frozenset[str], programs: Iterable[str]
) -> tuple[SharedFile, ...]:
    """What a policy that lists ``programs`` can't hold apart, by path."""
    names = set(programs)
    found: list[SharedFile] = []
    seen: set[int] = set()
    for path in sorted(executable):
        file = image.program(path).inode
        if file in seen:
            continue
        seen.add(file)
        aliases = [path, *image.other_names(path)]
        if any(bundles().of(posixpath.basename(alias)).multicall for alias in aliases):
            # `#!/usr/bin/coreutils --coreutils-prog-shebang=ls`: a script is a name as well.
            aliases += image.scripts_of(path)
        if len(aliases) == 1:
            continue
        known = [a for a in aliases if a in names or posixpath.basename(a) in names]
        bases = {posixpath.basename(a) for a in known or [path]}
        same = _same(bases, {posixpath.basename(a) for a in aliases})
        others = [
            alias
            for alias in aliases
            if alias not in known and not {posixpath.basename(alias), _stem(alias)} & same
        ]
        if others:
            found.append(
                SharedFile(
                    path=path,
                    listed=tuple(sorted(bases)),
                    others=tuple(sorted(set(others))),
                )
            )
    return tuple(found)


def _same(listed: set[str], aliases: set[str]) -> set[str]:
    """Names by which a file does nothing that it would not do by one that is listed."""
    same = listed | set(map(stem, listed))
    every = aliases | set(map(stem, aliases))
    for alias in every:
        also = bundles().of(alias).also
        if also:
            group = {alias, *matching(also, every)}
            if group & same:
                same |= group
    return same


def _stem(path: str) -> str:
    return stem(posixpath.basename(path))
