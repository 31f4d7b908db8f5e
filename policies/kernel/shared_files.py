"""Files that are more than one program: what a policy lists of them, and what comes with it.

The kernel allows files, not names. Where a file does what it is called by (busybox, a hard link, a
link in /etc/alternatives), allowing one of its names allows all. Libraries may be a program too:
libperl loaded by an allowed Python runs Perl. Owns saying so, and which of an image's shared
objects stay out of reach, because the program that they hold is not listed. Where an allowed
program can't start without one, it comes along, and that is said.
"""

import posixpath
from collections.abc import Iterable, Mapping

from policies.frozen import dataclass
from policies.kernel.bundles import bundles, matching, stem
from policies.kernel.image import ContainerImage


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
    names = {name for path in one_each.values() for name in _names(image, path)}
    held: set[str] = set()
    free: set[str] = set()
    for pattern, owners in bundles().owners.items():
        paths = {path for name in matching([pattern], known) for path in known[name]}
        (free if owners & names else held).update(paths)
    held -= free
    if not held:
        return Libraries(withheld=frozenset(), loaded=())
    loaded = {path: by for path, by in _needed(image, executable).items() if path in held}
    return Libraries(withheld=frozenset(held - loaded.keys()), loaded=tuple(sorted(loaded.items())))


def _names(image: ContainerImage, path: str) -> set[str]:
    bases = {posixpath.basename(name) for name in (path, *image.other_names(path))}
    return bases | {stem(base) for base in bases}


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
        rest = len(names) - MAX_NAMED
        more = f" and {rest} more" if rest > 0 else ""
        both = "both are" if len(self.listed) == len(names) == 1 else "all are"
        return (
            f"{', '.join(self.listed)} can't be held apart from "
            f"{', '.join(names[:MAX_NAMED])}{more} here: {both} {self.path}"
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
