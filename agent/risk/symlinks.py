"""Other names of a path: those it has through the symbolic links of the tree.

What a policy protects, or what something runs by its name, may be reached through a link that stood
there all along: a change of the file behind it is then one of a file with that name. Targets are
read as words: ``..`` after the name of a link is taken for the folder above it.
"""

from collections.abc import Iterable, Iterator

from sandbox.git.path_rules import leaves_tree

MOST = 64
"""Names of one path that are looked at; links can give it very many."""


class SymlinkAliases:
    def __init__(self, links: Iterable[tuple[bytes, bytes]]) -> None:
        """Args:
        links: path and target of each link. One that leaves the tree leads to no path in it.
        """
        self._links: dict[bytes, list[bytes]] = {}
        for path, target in links:
            place = None if leaves_tree(path, target) else _place(path, target)
            if place is not None and place != path:
                self._links.setdefault(place, []).append(path)

    def of(self, path: bytes) -> tuple[bytes, ...]:
        """The path itself, then its other names; one more than `MOST` where there are too many."""
        if not self._links:
            return (path,)
        names = {path: None}
        waiting = [path]
        while waiting:
            for name in self._one_link_on(waiting.pop()):
                if name not in names and len(names) <= MOST:
                    names[name] = None
                    waiting.append(name)
        return tuple(names)

    def _one_link_on(self, path: bytes) -> Iterator[bytes]:
        end = len(path)
        while end > 0:
            for link in self._links.get(path[:end], ()):
                # One that leads to a folder it stands in: through it once is enough.
                if not path.startswith(link + b"/"):
                    yield link + path[end:]
            end = path.rfind(b"/", 0, end)
        to_the_root = self._links.get(b"", ())
        if not any(path.startswith(link + b"/") for link in to_the_root):
            for link in to_the_root:
                yield link + b"/" + path


def _place(path: bytes, target: bytes) -> bytes | None:
    """Where a relative target leads, seen from the root; None above it."""
    parts = path.split(b"/")[:-1]
    for part in target.replace(b"\\", b"/").split(b"/"):
        if part == b"..":
            if not parts:
                return None
            parts.pop()
        elif part not in {b"", b"."}:
            parts.append(part)
    return b"/".join(parts)
