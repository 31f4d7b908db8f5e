"""An image's inventory, made ready for questions: what does a name lead to, what is below a path.

Owns resolving links as text. Refuses to know policies.
"""

import bisect
import posixpath
import re
from collections.abc import Collection

from policies.inventory import Inventory, Program
from policies.paths import within

_MAX_LINKS = 40
# Shared libraries that carry an executable bit: no one starts them, every program loads them.
_LIBRARY = re.compile(r".*\.so(\.[0-9]+)*\Z")


class Image:
    def __init__(self, inventory: Inventory, *, set_aside: Collection[str] = ()) -> None:
        self._inventory = inventory
        self._aside = tuple(set_aside)
        self._sorted = sorted(inventory.programs)
        self._by_inode: dict[int, list[str]] = {}
        for path, program in inventory.programs.items():
            self._by_inode.setdefault(program.inode, []).append(path)
        self._names: dict[str, list[str]] = {}
        for link, target in inventory.links.items():
            self._names.setdefault(self.resolved(target), []).append(link)

    @property
    def programs(self) -> list[str]:
        return self._sorted

    def program(self, path: str) -> Program:
        return self._inventory.programs[path]

    def resolved(self, path: str) -> str:
        """An absolute path with every known link in it followed."""
        links = self._inventory.links
        done = "/"
        parts = [part for part in path.split("/") if part]
        followed = 0
        while parts:
            part = parts.pop(0)
            if part == ".":
                continue
            step = posixpath.dirname(done) if part == ".." else posixpath.join(done, part)
            target = links.get(step)
            if target is not None and target != step and followed < _MAX_LINKS:
                followed += 1
                parts = [other for other in target.split("/") if other] + parts
                done = "/"
            else:
                done = step
        return done

    def find(self, name: str) -> str | None:
        """The program that a name or an absolute path leads to; None: there is none."""
        if name.startswith("/"):
            candidates = [name]
        else:
            candidates = [
                posixpath.join(directory, name)
                for directory in self._inventory.search_path
                # What stands there at run time is the agent's, not the image's.
                if not any(within(directory, top) for top in self._aside)
            ]
        for candidate in candidates:
            path = self.resolved(candidate)
            if path in self._inventory.programs:
                return path
        return None

    def other_names(self, path: str) -> list[str]:
        """Links and hard links that are the same file."""
        inode = self._inventory.programs[path].inode
        hard = [other for other in self._by_inode[inode] if other != path]
        soft = [link for one in (path, *hard) for link in self._names.get(one, ())]
        return sorted({*hard, *soft})

    def children(self, directory: str) -> tuple[str, ...] | None:
        """None: nothing is known of it, and no program is below."""
        return self._inventory.directories.get(directory)

    def programs_below(self, path: str) -> list[str]:
        """Programs at a path or below it."""
        path = self.resolved(path)
        if path in self._inventory.programs:
            return [path]
        prefix = path.rstrip("/") + "/"
        first = bisect.bisect_left(self._sorted, prefix)
        found: list[str] = []
        for program in self._sorted[first:]:
            if not program.startswith(prefix):
                break
            found.append(program)
        return found

    def is_library(self, path: str) -> bool:
        program = self._inventory.programs[path]
        return program.interpreter is None and _LIBRARY.match(path) is not None

    def is_forbidden(self, path: str, visible: Collection[str]) -> bool:
        """Is it a program that may not even be read?"""
        return (
            path in self._inventory.programs and path not in visible and not self.is_library(path)
        )

    def forbidden_below(self, path: str, visible: Collection[str]) -> bool:
        return any(self.is_forbidden(program, visible) for program in self.programs_below(path))
