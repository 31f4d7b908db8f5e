"""git's configuration: what of a repository's enters the container, what of a person's counts.

Owns a strict reader of its form (git-config(1), "Syntax") and the short list of what is kept: no
credentials, nothing that runs. What it can't read, and all that follows it, is left out: the copy
then has git's defaults. Of a person's own, what decides whether a work tree is clean is kept, with
the two files of rules that it names: ``core.excludesFile`` and ``core.attributesFile``
(gitignore(5), gitattributes(5)). That one git itself reads, in no repository; which files are
included is decided here, for a condition on the repository's place must hold for the workspace's.
Conditions on what stands in a repository (its branch, its remotes) hold nowhere: the workspace
decides nothing of it.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path

from policies.frozen import dataclass
from policies.paths import WORKSPACE
from sandbox.cache import regular_file
from sandbox.errors import PatchError
from sandbox.git import linked_tree
from sandbox.git.manifest import PERSONAL_ATTRIBUTES, PERSONAL_EXCLUDE
from sandbox.git.run import listed_config

_KEPT = {
    b"core": {b"repositoryformatversion", b"filemode", b"bare", b"logallrefupdates", b"symlinks",
              b"ignorecase", b"precomposeunicode", b"autocrlf", b"eol", b"safecrlf", b"quotepath",
              b"sparsecheckout", b"sparsecheckoutcone"},
    b"extensions": {b"objectformat", b"refstorage", b"partialclone", b"noop", b"preciousobjects",
                    b"worktreeconfig"},
    b"index": {b"sparse"},
    b"branch": {b"remote", b"merge", b"rebase"},
    b"remote": {b"url", b"fetch"},
    b"user": {b"name", b"email"},
    b"init": {b"defaultbranch"},
    b"submodule": {b"url", b"active"},
}  # fmt: skip

_SPACE = re.compile(rb"[ \t\n\r]*")
_SECTION = re.compile(rb'\[([A-Za-z0-9.-]+)(?:[ \t]+"((?:[^"\\\n\0]|\\[^\n])*)")?\]')
_KEY = re.compile(rb"([A-Za-z][A-Za-z0-9-]*)[ \t]*(=|(?=\n)|\Z)")
_PLAIN = re.compile(rb'[^\\"\n;# \t\r]+')
_ESCAPES = {b"n": b"\n", b"t": b"\t", b"b": b"\b", b"\\": b"\\", b'"': b'"', b"\n": b"", b"": b""}

# Up to the last @ of the host's part: a password may hold one. Anywhere in the value, for a
# transport may stand before the scheme (``helper::https://…``).
_USERINFO = re.compile(rb"://[^/]*@")
_AFTER_PATH = re.compile(rb"(://[^?#]*)[?#].*$", re.DOTALL)


def sanitized(config: bytes) -> bytes:
    """The kept keys of a configuration, rewritten; URLs without user names, passwords, queries."""
    out: list[bytes] = []
    before = b""
    for section, name, key, value in _said(config):
        if key in _KEPT.get(section, ()):
            header = b"[" + section + (b"" if name is None else _named(name)) + b"]\n"
            out += [header] if header != before else []
            out.append(b"\t" + key + (b"" if value is None else quoted(value)) + b"\n")
            before = header
    return b"".join(out)


def object_format(config: bytes) -> str:
    """By what a repository names its objects."""
    said = value(config, b"extensions", b"objectformat").lower()
    return "sha256" if said == b"sha256" else "sha1"


def value(config: bytes, section: bytes, key: bytes) -> bytes:
    """What a key without a subsection is set to, the last time; empty where it is not."""
    said = [
        b"true" if given is None else given
        for at, name, found, given in _said(config)
        if (at, name, found) == (section, None, key)
    ]
    return said[-1] if said else b""


def _said(config: bytes) -> Iterator[tuple[bytes, bytes | None, bytes, bytes | None]]:
    """Section and key in lower case, subsection and value as far as they are given."""
    text = config.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    section, name = b"", None
    at = 0
    while at < len(text):
        at = _end(_SPACE, text, at)
        if text[at : at + 1] in {b"#", b";"}:
            at = _line_end(text, at)
        elif match := _SECTION.match(text, at):
            section, name = match[1].lower(), match[2]
            at = match.end()
        elif match := _KEY.match(text, at):
            given, at = _value(text, match.end()) if match[2] else (None, match.end())
            if at < 0:
                break
            yield section, name, match[1].lower(), given
        else:
            break


def _end(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _line_end(text: bytes, at: int) -> int:
    found = text.find(b"\n", at)
    return len(text) if found < 0 else found


def _value(text: bytes, at: int) -> tuple[bytes, int]:
    """The value that begins at a place, and where its line ends; -1 where git can't read it."""
    out = bytearray()
    kept = 0  # length without the white space at the end, which counts only within quotes
    quoted = False
    while (byte := text[at : at + 1]) not in {b"", b"\n"}:
        if byte == b"\\":
            follow = text[at + 1 : at + 2]
            if follow not in _ESCAPES:
                return b"", -1
            out += _ESCAPES[follow]
            at += 2
            kept = len(out) if _ESCAPES[follow] else kept
        elif byte == b'"':
            quoted = not quoted
            at += 1
        elif byte in {b"#", b";"} and not quoted:
            at = _line_end(text, at)
        elif byte in {b" ", b"\t", b"\r"} and not quoted:
            at += 1
            if kept:
                out += byte
        else:
            end = max(_end(_PLAIN, text, at), at + 1)
            out += text[at:end]
            at = end
            kept = len(out)
    return (b"", -1) if quoted else (bytes(out[:kept]), at)


def _bare(value: bytes) -> bytes:
    """A value without what a URL in it says beside host and path."""
    return _AFTER_PATH.sub(rb"\1", _USERINFO.sub(b"://", value))


def _named(name: bytes) -> bytes:
    """A subsection's name, which may be a URL as well."""
    return b' "' + _escaped(_bare(re.sub(rb"\\(.)", rb"\1", name))) + b'"'


def quoted(value: bytes) -> bytes:
    """What stands behind a key that has this value."""
    return b' = "' + _escaped(_bare(value)).replace(b"\n", b"\\n") + b'"'


def _escaped(value: bytes) -> bytes:
    return value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


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


def read_personal(environ: Mapping[str, str], workspace: Path) -> PersonalConfig:
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
    lines = [b"\t%s%s\n" % (key, quoted(said[b"core." + key]))
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
        from sandbox.git.pattern import Glob  # noqa: PLC0415 - few have such a condition

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
        with regular_file(path, follow=True) as file:
            return file.read(_LIMIT + 1)
    except (OSError, ValueError):
        return b""
