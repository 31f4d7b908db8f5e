"""What of a person's own git configuration decides whether a work tree is clean.

Owns that short list, and the two files of rules that it names: ``core.excludesFile`` and
``core.attributesFile`` (gitignore(5), gitattributes(5)). git itself reads the configuration, in no
repository; which files are included is decided here, for a condition on the repository's place must
hold for the workspace's. Conditions on what stands in a repository (its branch, its remotes) hold
nowhere: the workspace decides nothing of it.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path

from policies.frozen import dataclass
from policies.paths import WORKSPACE
from sandbox.errors import PatchError
from sandbox.git import config, linked_tree
from sandbox.git.manifest import PERSONAL_ATTRIBUTES, PERSONAL_EXCLUDE
from sandbox.git.run import listed_config

_KEYS = (b"autocrlf", b"eol", b"safecrlf", b"filemode", b"symlinks", b"ignorecase",
         b"precomposeunicode")  # fmt: skip
_FILES = {PERSONAL_EXCLUDE: b"excludesfile", PERSONAL_ATTRIBUTES: b"attributesfile"}
_USUAL = {PERSONAL_EXCLUDE: "ignore", PERSONAL_ATTRIBUTES: "attributes"}
"""Their names in git's directory, where no setting says another."""
_SYSTEM_ATTRIBUTES = b"/etc/gitattributes"
_LIMIT = 1 << 20
_DEPTH_LIMIT, _INCLUDED_LIMIT = 10, 64

_Setting = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalConfig:
    settings: bytes = b""
    """A configuration, to stand before a repository's own; empty where nothing is said."""
    files: Mapping[bytes, bytes] = field(default_factory=dict)
    """The rules that it names, by their path in the workspace."""
    notes: tuple[str, ...] = ()
    """What could not be taken, for a person."""


def read(environ: Mapping[str, str], workspace: Path) -> PersonalConfig:
    """What counts for a workspace. Runs git once, and once more for each file that is included."""
    try:
        said = dict(_PersonalReading(environ, workspace).settings())
    except PatchError as error:
        return PersonalConfig(notes=(f"your git configuration does not count here: {error}",))
    files: dict[bytes, bytes] = {}
    notes: list[str] = []
    for path, key in _FILES.items():
        sources = [_SYSTEM_ATTRIBUTES] if path == PERSONAL_ATTRIBUTES else []
        if environ.get("GIT_ATTR_NOSYSTEM"):
            sources = []
        own = said.get(b"core." + key)
        sources.append(_usual(environ, path) if own is None else _expanded(own, environ))
        for source in sources:
            data = _content(source)
            if len(data) > _LIMIT:
                notes.append(f"{os.fsdecode(source)} is larger than {_LIMIT} bytes: not applied")
            elif data:
                files[path] = files.get(path, b"") + data.rstrip(b"\n") + b"\n"
    lines = [b"\t%s%s\n" % (key, config.quoted(said[b"core." + key]))
             for key in _KEYS if said.get(b"core." + key)]  # fmt: skip
    lines += [b'\t%s = "%s/%s"\n' % (_FILES[path], os.fsencode(WORKSPACE), path) for path in files]
    settings = b"[core]\n" + b"".join(lines) if lines else b""
    return PersonalConfig(settings=settings, files=files, notes=tuple(notes))


class _PersonalReading:
    """One look through the configuration and what it includes."""

    def __init__(self, environ: Mapping[str, str], workspace: Path) -> None:
        self._environ = environ
        self._workspace = workspace
        self._left = _INCLUDED_LIMIT

    def settings(self, file: bytes | None = None, depth: int = 0) -> Iterator[_Setting]:
        """Keys (lower case but for a subsection) and values, in the order in which they count.

        Raises:
            PatchError: there is no git, or it can't read that.
        """
        rows = listed_config(self._environ, file).split(b"\0")
        for origin, row in zip(rows[::2], rows[1::2], strict=False):
            key, equals, value = row.partition(b"\n")
            yield key, value if equals else b"true"
            if not self._includes(key, origin.removeprefix(b"file:")):
                continue
            named = _expanded(value, self._environ)
            target = os.path.join(os.path.dirname(origin.removeprefix(b"file:")), named)
            if depth < _DEPTH_LIMIT and self._left and os.path.isfile(target):
                self._left -= 1
                yield from self.settings(target, depth + 1)

    def _includes(self, key: bytes, origin: bytes) -> bool:
        if key == b"include.path":
            return True
        from sandbox.git.wildmatch import Glob  # noqa: PLC0415 - few have such a condition

        condition = key.removeprefix(b"includeif.").removesuffix(b".path")
        kind, _, pattern = condition.partition(b":")
        if not key.startswith(b"includeif.") or kind not in {b"gitdir", b"gitdir/i"}:
            return False  # the others are decided by what stands in the repository
        pattern = _expanded(pattern, self._environ)
        if pattern.startswith(b"./"):
            pattern = os.path.dirname(origin) + pattern[1:]
        elif not pattern.startswith(b"/"):
            pattern = b"**/" + pattern
        pattern += b"**" if pattern.endswith(b"/") else b""
        linked = linked_tree.find(self._workspace)
        places = [linked.own] if linked else [
            os.path.realpath(os.fsencode(self._workspace)) + b"/.git",
            os.path.abspath(os.fsencode(self._workspace)) + b"/.git",
        ]  # fmt: skip
        if kind.endswith(b"/i"):
            pattern, places = pattern.lower(), [place.lower() for place in places]
        return any(Glob(pattern).matches(place)[0] for place in places)


def _expanded(path: bytes, environ: Mapping[str, str]) -> bytes:
    if path.startswith(b"~/"):
        return os.fsencode(environ.get("HOME", "/nonexistent")) + path[1:]
    return os.path.expanduser(path)


def _usual(environ: Mapping[str, str], path: bytes) -> bytes:
    home = environ.get("HOME") or os.devnull
    own = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    return os.fsencode(os.path.join(own, "git", _USUAL[path]))


def _content(path: bytes) -> bytes:
    """A file, up to one byte more than the limit; empty where there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    try:
        with os.fdopen(handle, "rb") as file:
            return file.read(_LIMIT + 1) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    except OSError:
        return b""
