"""Which programs an image holds, made ready for questions: what a name leads to, what is below it.

The facts that turn a policy's names into kernel rules are taken once per image, by the guest,
before anything of a workspace is in it. Owns their shape, resolving links as text, and what the
first line of a script starts, as the kernel and ``env`` read it. Refuses to know policies.
"""

import bisect
import posixpath
import re
from collections.abc import Collection, Mapping
from dataclasses import field
from itertools import takewhile

from policies.frozen import dataclass
from policies.paths import within_any


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A regular file outside the workspace that the kernel would execute."""

    path: str
    """Absolute, with no symlink in it."""
    interpreter: str | None
    """For a ``#!`` script: what the kernel takes of that line, as written. None: an ELF program."""
    inode: int
    """Two programs with one number are one file by two names (hard links), or copies of it."""
    needs: tuple[str, ...] = ()
    """For an ELF program: names of the libraries that its loader looks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    programs: Mapping[str, Program]
    """By path."""
    scripts: Mapping[str, Program] = field(default_factory=dict)
    """Marked executable and outside the PATH, by path. Who may read may read them; they run where a
    policy names one by its path, or a bundle does."""
    libraries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Shared objects, which a program of any name can load: the libraries that each needs itself,
    by path."""
    links: Mapping[str, str]
    """Symlinks in the directories listed below, and those to programs: absolute path to the path of
    the file or directory it finally leads to, absolute too."""
    directories: Mapping[str, tuple[str, ...]]
    """Every directory with a program or a library in or below it: the names of its children; a name
    that ends in ``/`` is a directory, in ``@`` a symlink. ``/`` is always there."""
    search_path: tuple[str, ...]
    """The PATH of commands, in order."""


_VALUED = "uC"
"""Options of ``env``, in short form, that take the next word for their value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shebang:
    interpreter: str
    """As written: the kernel takes a relative path from the working directory, never from PATH."""
    argument: str | None
    """All the rest of the line: to the kernel it is one word."""


def shebang(line: str) -> Shebang | None:
    """What follows ``#!``, taken apart; None: it names no interpreter."""
    interpreter = re.split("[ \t\0]", line.strip(" \t"), maxsplit=1)[0]
    argument = line.strip(" \t")[len(interpreter) :].lstrip(" \t").split("\0", 1)[0]
    return Shebang(interpreter=interpreter, argument=argument or None) if interpreter else None


def started_by_env(argument: str | None) -> str | None:
    """The program that ``env`` starts for a script of such a first line; None: it finds none there.

    Without ``-S`` the whole argument is one word: ``env python3 -X`` looks for that very name.
    """
    words = [] if argument is None else [argument]
    while words:
        word = words.pop(0)
        if word.startswith("--"):
            words = _after_long(word, words)
        elif word.startswith("-"):
            words = _after_short(word, words)
        elif "=" not in word:
            return word
    return None


def _after_long(word: str, words: list[str]) -> list[str]:
    name, is_given, value = word[2:].partition("=")
    if not name:
        return words
    if "split-string".startswith(name):
        return [*_split(value), *words] if is_given else _split_next(words)
    takes_next = "unset".startswith(name) or "chdir".startswith(name)
    return words[1:] if takes_next and not is_given else words


def _after_short(word: str, words: list[str]) -> list[str]:
    for at, letter in enumerate(word[1:], start=2):
        if letter == "S":
            text = word[at:]
            return [*_split(text), *words] if text else _split_next(words)
        if letter in _VALUED:
            return words if word[at:] else words[1:]
    return words


def _split_next(words: list[str]) -> list[str]:
    return [*_split("".join(words[:1])), *words[1:]]


def _split(text: str) -> list[str]:
    try:
        import shlex  # noqa: PLC0415 - for few scripts

        return shlex.split(text, comments=True)
    except ValueError:  # quotes that do not close: env refuses it
        return []


_MAX_LINKS = 40


class ContainerImage:
    def __init__(self, inventory: Inventory, *, set_aside: Collection[str] = ()) -> None:
        self._inventory = inventory
        self._search = [
            directory.rstrip("/")
            for directory in inventory.search_path
            # What stands there at run time is the agent's, not the image's.
            if not within_any(directory, set_aside)
        ]
        self._scripts: dict[str, list[str]] | None = None
        self.programs = sorted(inventory.programs)
        self.startable = sorted({*inventory.programs, *inventory.scripts})
        """The programs, and the scripts outside the PATH that may be made to run."""
        self.libraries = inventory.libraries
        """Shared objects, and what each needs."""
        self._by_inode: dict[int, list[str]] = {}
        for path in self.startable:
            self._by_inode.setdefault(self.program(path).inode, []).append(path)
        self._names: dict[str, list[str]] = {}
        for link, target in inventory.links.items():
            self._names.setdefault(self.resolved(target), []).append(link)

    def program(self, path: str) -> Program:
        found = self._inventory.programs.get(path)
        return self._inventory.scripts[path] if found is None else found

    def resolved(self, path: str) -> str:
        """An absolute path with every known link in it followed."""
        links = self._inventory.links
        done = ""
        parts = [part for part in path.split("/") if part]
        followed = 0
        while parts:
            part = parts.pop(0)
            if part == ".":
                continue
            step = done.rpartition("/")[0] if part == ".." else f"{done}/{part}"
            target = links.get(step)
            if target is not None and target != step and followed < _MAX_LINKS:
                followed += 1
                parts = [other for other in target.split("/") if other] + parts
                done = ""
            else:
                done = step
        return done or "/"

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

    def programs_below(self, path: str) -> list[str]:
        """Programs at a path or below it."""
        path = self.resolved(path)
        if path in self._inventory.programs:
            return [path]
        prefix = path.rstrip("/") + "/"
        first = bisect.bisect_left(self.programs, prefix)
        return list(takewhile(lambda program: program.startswith(prefix), self.programs[first:]))

    def scripts_of(self, path: str) -> list[str]:
        """Scripts whose first line names a program."""
        if self._scripts is None:
            self._scripts = {}
            for script in self.startable:
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

    def below(self, path: str) -> bool:
        """Is one of them at a path or below it?"""
        return path in self.paths or path in self._above
