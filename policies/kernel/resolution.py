"""From the names in a policy to the files of an image that become executable or readable.

Owns following what a program brings: its bundle and a script's interpreter. What can't be held
apart from it, and which libraries it may load, is `bundles`'s to say.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import partial

from policies.commands.effects import ALL as BUILTINS
from policies.errors import listed
from policies.frozen import dataclass
from policies.kernel.bundles import (
    Libraries,
    SharedFile,
    bundles,
    is_pattern,
    libraries,
    matching,
    names_of,
    shared_files,
)
from policies.kernel.image import ContainerImage, shebang, started_by_env
from policies.policy import Policy

named = partial(listed, most=12)


class GrantReason(StrEnum):
    ALWAYS = "always"
    """Nothing runs without it: the shell, the loader."""
    TOOL = "tool"
    """A tool of the policy runs it."""
    NEEDS = "needs"
    """`programs.yaml` says that the program needs it."""
    INTERPRETER = "interpreter"
    """The program is a script, and its first line names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BroughtFile:
    """A file that is executable because something else is."""

    path: str
    by: str
    """The program's path; for what always comes and for tools: its name, or nothing."""
    reason: GrantReason


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantedFiles:
    executable: frozenset[str]
    readable: frozenset[str]
    """Programs that may only be read."""
    listed: Mapping[str, str]
    """The rules' programs that become executable: name as written to path."""
    brought: tuple[BroughtFile, ...]
    missing: tuple[str, ...]
    """Listed, and not in the image."""
    shared: tuple[SharedFile, ...]
    """What can't be held apart from other programs."""
    libraries: Libraries
    notes: tuple[str, ...]
    """The above for a person to read, in short."""
    remarks: tuple[str, ...]
    """What is nowhere above: first lines of scripts that lead nowhere."""

    @property
    def visible(self) -> frozenset[str]:
        return self.executable | self.readable


def granted(policy: Policy, image: ContainerImage, *, may_ask: bool) -> GrantedFiles:
    """Which of an image's programs a policy makes executable, and which readable."""
    work = _Resolution(image)
    data = bundles()
    work.bring_all(data.always.brings, by="", reason=GrantReason.ALWAYS)
    missing: list[str] = []
    listed: dict[str, str] = {}
    for rule in policy.commands:
        # An empty list of arguments permits nothing.
        if rule.args == () or (rule.ask and not may_ask):
            continue
        path = work.bring(rule.program)
        if path is not None:
            listed[rule.program] = path
        elif rule.program not in BUILTINS:
            missing.append(rule.program)
    for tool, alternatives in data.tools.items():
        if tool in policy.tools:
            found = next((name for name in alternatives if image.find(name)), None)
            if found is not None:
                path = work.bring(found)
                work.note(path, by=tool, reason=GrantReason.TOOL)
    work.follow()
    executable = frozenset(work.executable)
    shared = shared_files(image, executable, {rule.program for rule in policy.commands})
    loadable = libraries(image, executable)
    return GrantedFiles(
        executable=executable,
        readable=frozenset(work.readable - executable),
        listed=listed,
        brought=tuple(dict.fromkeys(work.brought)),
        missing=tuple(dict.fromkeys(missing)),
        shared=shared,
        libraries=loadable,
        notes=(
            *work.notes(listed),
            *map(str, shared),
            *(f"{path} is loaded by {by}, so what it holds runs there" for path, by in
              loadable.loaded),
        ),
        remarks=tuple(dict.fromkeys(work.unresolved)),
    )  # fmt: skip


class _Resolution:
    def __init__(self, image: ContainerImage) -> None:
        self._image = image
        self._waiting: list[tuple[str, str]] = []
        self.executable: set[str] = set()
        self.brought: list[BroughtFile] = []
        self.readable: set[str] = set()
        self.unresolved: list[str] = []

    def bring(self, name: str) -> str | None:
        """Make a program executable, by name or path; None: the image does not hold it."""
        path = self._image.find(name)
        if path is not None:
            self.executable.add(path)
            self._waiting.append((name, path))
        return path

    def note(self, path: str | None, *, by: str, reason: GrantReason) -> None:
        if path is not None and path != by:
            self.brought.append(BroughtFile(path=path, by=by, reason=reason))

    def bring_all(self, entries: Iterable[str], *, by: str, reason: GrantReason) -> None:
        entries = tuple(entries)
        patterns = [entry for entry in entries if is_pattern(entry) or entry.startswith("!")]
        # What a pattern names does not bring its own interpreter: perl would come in with git's
        # mail script, which nobody asked for.
        for path in matching(patterns, self._image.startable):
            self.executable.add(path)
            self.note(path, by=by, reason=reason)
        for entry in entries:
            if entry not in patterns:
                self.note(self.bring(entry), by=by, reason=reason)

    def follow(self) -> None:
        """Bring what the brought ones need, until nothing new comes."""
        data = bundles()
        seen: set[tuple[str, str]] = set()
        while self._waiting:
            name, path = self._waiting.pop()
            base = posixpath.basename(name)
            if (base, path) in seen:
                continue
            seen.add((base, path))
            # `/usr/bin/python3.11` needs what `python3` does. Only where the name itself says
            # nothing: a multi-call program would bring what any of its names needs.
            names = [base] if base in data.programs else names_of(self._image, path)
            for known in dict.fromkeys(name for name in names if name in data.programs):
                bundle = data.of(known)
                self.bring_all(bundle.brings, by=path, reason=GrantReason.NEEDS)
                # Scripts: an ELF program among a language's modules (a node, an ffmpeg) would be
                # copied into the workspace and run there.
                scripts = matching(bundle.reads, self._image.programs)
                self.readable.update(p for p in scripts if self._image.program(p).interpreter)
            self._interpreter(path)

    def _interpreter(self, path: str) -> None:
        line = self._image.program(path).interpreter
        first = None if line is None else shebang(line)
        if first is None:
            return
        # The kernel takes a relative path from the working directory: nobody knows what is there.
        absolute = first.interpreter.startswith("/")
        found = self.bring(first.interpreter) if absolute else None
        if found is None:
            self.unresolved.append(
                f"{path} names an interpreter that the image does not hold: {first.interpreter}"
            )
            return
        self.note(found, by=path, reason=GrantReason.INTERPRETER)
        if posixpath.basename(first.interpreter) != "env":
            return
        name = started_by_env(first.argument)
        if name is None:
            self.unresolved.append(f"{path} names no interpreter to env: list it in commands")
            return
        target = self.bring(name)
        if target is None:
            self.unresolved.append(f"{path} looks for an interpreter that is not there: {name}")
        self.note(target, by=path, reason=GrantReason.INTERPRETER)

    def notes(self, listed: Mapping[str, str]) -> Iterator[str]:
        as_written = {path: posixpath.basename(name) for name, path in listed.items()}
        by_bringer: dict[str, list[str]] = {}
        for one in self.brought:
            if one.reason is GrantReason.ALWAYS or one.path in as_written:
                continue
            who = as_written.get(one.by, posixpath.basename(one.by))
            who = f"the tool {one.by}" if one.reason is GrantReason.TOOL else who
            by_bringer.setdefault(who, []).append(one.path)
        for who, paths in sorted(by_bringer.items()):
            yield f"{who} brings {named(sorted({*paths}))}: executable though not listed"
        only_read = sorted(self.readable - self.executable)
        if only_read:
            yield f"readable but not executable, as part of a library: {named(only_read)}"
