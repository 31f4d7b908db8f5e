"""Libraries that are a program: libperl loaded by an allowed Python runs Perl.

Owns which of an image's shared objects stay out of reach, because the program that they hold is not
listed. Where an allowed program can't start without one, it comes along, and that is said.
"""

import posixpath
from collections.abc import Mapping

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
