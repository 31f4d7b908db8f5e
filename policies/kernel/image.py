"""An image's inventory, made ready for questions: what does a name lead to, what is below a path.

Owns resolving links as text. Refuses to know policies.
"""

import bisect
import posixpath
from collections.abc import Collection, Mapping

from policies.kernel.inventory import Inventory, Program
from policies.kernel.shebang import shebang
from policies.paths import within

_MAX_LINKS = 40


class ContainerImage:
    def __init__(self, inventory: Inventory, *, set_aside: Collection[str] = ()) -> None:
        self._inventory = inventory
        self._search = [
            directory.rstrip("/")
            for directory in inventory.search_path
            # What stands there at run time is the agent's, not the image's.
            if not any(within(directory, top) for top in set_aside)
        ]
        self._scripts: dict[str, list[str]] | None = None
        self._sorted = sorted(inventory.programs)
        self._startable = sorted({*inventory.programs, *inventory.scripts})
        self._by_inode: dict[int, list[str]] = {}
        for path in self._startable:
            self._by_inode.setdefault(self.program(path).inode, []).append(path)
        self._names: dict[str, list[str]] = {}
        for link, target in inventory.links.items():
            self._names.setdefault(self.resolved(target), []).append(link)

    @property
    def programs(self) -> list[str]:
        return self._sorted

    @property
    def startable(self) -> list[str]:
        """The programs, and the scripts outside the PATH that may be made to run."""
        return self._startable

    def program(self, path: str) -> Program:
        found = self._inventory.programs.get(path)
        return self._inventory.scripts[path] if found is None else found

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
            candidates = [f"{directory}/{name}" for directory in self._search]
        for candidate in candidates:
            path = self.resolved(candidate)
            if path in self._inventory.programs or path in self._inventory.scripts:
                return path
        return None

    def other_names(self, path: str) -> list[str]:
        """Links and hard links that are the same file."""
        inode = self.program(path).inode
        hard = [other for other in self._by_inode[inode] if other != path]
        soft = [link for one in (path, *hard) for link in self._names.get(one, ())]
        return sorted({*hard, *soft})

    def links_to(self, path: str) -> list[str]:
        """Symlinks that lead to a file."""
        return self._names.get(path, [])

    def children(self, directory: str) -> tuple[str, ...] | None:
        """None: nothing is known of it, and no program is below."""
        return self._inventory.directories.get(directory)

    @property
    def libraries(self) -> Mapping[str, tuple[str, ...]]:
        """Shared objects, and what each needs."""
        return self._inventory.libraries

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

    def scripts_of(self, path: str) -> list[str]:
        """Scripts whose first line names a program."""
        if self._scripts is None:
            self._scripts = {}
            for script in self._startable:
                program = self.program(script)
                first = shebang(program.interpreter) if program.interpreter else None
                if first is not None and first.interpreter.startswith("/"):
                    target = self.resolved(first.interpreter)
                    self._scripts.setdefault(target, []).append(script)
        return self._scripts.get(path, [])


class ForbiddenFiles:
    """The files that may not even be read, and where they are."""

    def __init__(
        self, image: ContainerImage, visible: Collection[str], withheld: Collection[str]
    ) -> None:
        """``withheld``: libraries that hold a program which is not listed."""
        self.paths = {path for path in image.programs if path not in visible}
        self.paths.update(withheld)
        self._above: set[str] = set()
        for path in self.paths:
            directory = posixpath.dirname(path)
            while directory not in self._above:
                self._above.add(directory)
                directory = posixpath.dirname(directory)

    def holds(self, path: str) -> bool:
        return path in self.paths

    def below(self, path: str) -> bool:
        """Is one of them at a path or below it?"""
        return path in self.paths or path in self._above
