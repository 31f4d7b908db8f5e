"""Programs that are one file: what a policy lists of them, and what comes with it all the same.

The kernel allows files, not names. Where a file does what it is called by (busybox, a hard link, a
link in /etc/alternatives), allowing one of its names allows all; this module owns saying so.
"""

import posixpath
from collections.abc import Iterable

from policies.frozen import dataclass
from policies.kernel.bundles import bundles, matching, stem
from policies.kernel.image import ContainerImage

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
