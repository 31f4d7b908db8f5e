"""From the names in a policy to the files of an image that become executable or readable.

Owns following what a program brings: its bundle, a script's interpreter, links to one file; and
saying of each what could not be held apart.
"""

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from policies.bundles import bundles, is_pattern, matching
from policies.image import Image
from policies.policy import Policy
from policies.shellbuiltins import ALL as BUILTINS

MAX_NAMED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    executable: frozenset[str]
    readable: frozenset[str]
    """Programs that may only be read."""
    missing: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def visible(self) -> frozenset[str]:
        return self.executable | self.readable


def granted(policy: Policy, image: Image, *, may_ask: bool) -> Granted:
    """Which of an image's programs a policy makes executable, and which readable."""
    work = _Work(image)
    data = bundles()
    work.bring_all(data.always.brings, why=None)
    missing: list[str] = []
    for rule in policy.commands:
        # An empty list of arguments permits nothing.
        if rule.args == () or (rule.ask and not may_ask):
            continue
        if not work.bring(rule.program, why=None) and rule.program not in BUILTINS:
            missing.append(rule.program)
    for tool, alternatives in data.tools.items():
        if tool in policy.tools:
            found = next((name for name in alternatives if image.find(name)), None)
            if found is not None:
                work.bring(found, why=f"the tool {tool}")
    work.follow()
    return Granted(
        executable=frozenset(work.executable),
        readable=frozenset(work.readable - work.executable.keys()),
        missing=tuple(dict.fromkeys(missing)),
        notes=tuple(work.notes({rule.program for rule in policy.commands})),
    )


class _Work:
    def __init__(self, image: Image) -> None:
        self._image = image
        self._waiting: list[tuple[str, str]] = []
        self.executable: dict[str, str | None] = {}
        """By path: what brought it; None: the policy lists it, or it always comes."""
        self.readable: set[str] = set()
        self._unresolved: list[str] = []

    def bring(self, name: str, *, why: str | None) -> bool:
        """Make a program executable, by name or path; False: the image does not hold it."""
        path = self._image.find(name)
        if path is None:
            return False
        if why is None or path not in self.executable:
            self.executable[path] = why
        self._waiting.append((name, path))
        return True

    def bring_all(self, entries: Iterable[str], *, why: str | None) -> None:
        entries = tuple(entries)
        patterns = [entry for entry in entries if is_pattern(entry) or entry.startswith("!")]
        # What a pattern names does not bring its own interpreter: perl would come in with git's
        # mail script, which nobody asked for.
        for path in matching(patterns, self._image.programs):
            self.executable.setdefault(path, why)
        for entry in entries:
            if entry not in patterns:
                self.bring(entry, why=why)

    def follow(self) -> None:
        """Bring what the brought ones need, until nothing new comes."""
        data = bundles()
        seen: set[tuple[str, str]] = set()
        while self._waiting:
            name, path = self._waiting.pop()
            if (name, path) in seen:
                continue
            seen.add((name, path))
            base = posixpath.basename(name)
            # `/usr/bin/python3.11` needs what `python3` does. Only where the name itself says
            # nothing: a multi-call program would bring what any of its names needs.
            names = [base] if base in data.programs else self._aliases(path)
            for known in dict.fromkeys(names):
                bundle = data.of(known)
                self.bring_all(bundle.brings, why=base)
                self.readable.update(matching(bundle.reads, self._image.programs))
            self._interpreter(path)

    def _aliases(self, path: str) -> list[str]:
        """A program's names: ``python`` is ``python3.11``, which needs what ``python3`` needs."""
        names = [path, *self._image.other_names(path)]
        return [posixpath.basename(name) for name in names]

    def _interpreter(self, path: str) -> None:
        line = self._image.program(path).interpreter
        if line is None:
            return
        words = line.split()
        if not words or not self.bring(words[0], why=posixpath.basename(path)):
            self._unresolved.append(f"{path} names an interpreter that the image does not hold")
            return
        if posixpath.basename(words[0]) != "env":
            return
        name = next((word for word in words[1:] if not word.startswith("-")), None)
        if name is None:
            self._unresolved.append(f"{path} finds its interpreter by name: list it in commands")
        elif "=" not in name:
            self.bring(name, why=posixpath.basename(path))

    def notes(self, listed: set[str]) -> Iterable[str]:
        brought: dict[str, list[str]] = {}
        for path, why in sorted(self.executable.items()):
            if why is not None:
                brought.setdefault(why, []).append(path)
        for why, paths in sorted(brought.items()):
            yield f"{why} brings {_named(paths)}: executable though not listed"
        always = {"bash", "libc.so.6"}
        for path in sorted(self.executable):
            others = [
                other
                for other in self._image.other_names(path)
                if posixpath.basename(other) not in listed | always and other not in self.executable
            ]
            if others:
                yield f"{path} is one file with {_named(others)}: they can't be held apart"
        only_read = sorted(self.readable - self.executable.keys())
        if only_read:
            yield f"readable but not executable, as part of a library: {_named(only_read)}"
        yield from self._unresolved


def _named(paths: Iterable[str]) -> str:
    known = list(dict.fromkeys(paths))
    rest = len(known) - MAX_NAMED
    return ", ".join(known[:MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")
