"""New paths that some system takes for one that is there already.

macOS and Windows compare names without case, macOS without their Unicode form too: there, two such
files are one, and the one that is written last wins.
"""

import os
import unicodedata
from collections.abc import Iterable, Mapping

from sandbox.git.trees import Trees


def collisions(trees: Trees, added: Iterable[bytes]) -> Mapping[bytes, bytes]:
    """For each added path that collides, what with. `trees` holds everything, the added too."""
    known: dict[bytes, dict[str, list[bytes]]] = {}
    colliding: dict[bytes, bytes] = {}
    for path in added:
        directory = b""
        for part in path.split(b"/"):
            names = known.get(directory)
            if names is None:
                names = known[directory] = _by_folded(trees.names(directory))
            prefix = directory + b"/" if directory else b""
            other = next((name for name in names.get(folded(part), ()) if name != part), None)
            if other is not None:
                colliding[path] = prefix + other
                break
            directory = prefix + part
    return colliding


def folded(name: bytes) -> str:
    """A text that is equal for names which some system takes for one."""
    if name.isascii():
        return name.decode("ascii").lower()
    text = unicodedata.normalize("NFD", os.fsdecode(name)).casefold()
    return unicodedata.normalize("NFC", text)


def _by_folded(names: Iterable[bytes]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for name in names:
        found.setdefault(folded(name), []).append(name)
    return found
