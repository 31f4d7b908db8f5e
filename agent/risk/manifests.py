"""What a package manager would run or fetch anew: manifests compared as a whole.

A line diff can be fooled (an escape in JSON, a table that moved); the parsed documents can't. Owns
which keys of which manifest count. What can't be parsed is told as not inspected. Reasons quote
values, which may hold a secret: the gate masks those that it lists.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from agent.risk.finding import Finding, Severity, found
from agent.risk.inspected_patch import InspectedPatch
from agent.risk.paths import named
from sandbox.patch.values import Change

_TOML_LIMIT_BYTES = 256 << 10
_TOML_LINE_BYTES = 1024
"""tomllib takes the square of the number of parts of a dotted key."""
_TOML_TOGETHER_BYTES = 1 << 20
"""Of all TOML files of a patch; what is past that is not parsed."""
_EACH_FILE = 50
_QUOTED = 2000
"""Characters of a value, which the gate masks and cuts."""

# What npm runs by itself (npm-scripts(7), "Life Cycle Scripts").
_NPM_SCRIPTS = frozenset(
    f"{when}{script}"
    for when in ("pre", "", "post")
    for script in ("install", "prepare", "publish", "pack", "uninstall", "version")
) | {"prepublishOnly", "dependencies"}
_NPM_DEPENDENCIES = (
    "dependencies",
    "devDependencies",
    "optionalDependencies",
    "peerDependencies",
    "overrides",
    "resolutions",
)
_PYTHON_TOOLS = {
    "uv": ("index", "index-url", "extra-index-url", "find-links", "pip", "sources"),
    "poetry": ("source", "build"),
    "pdm": ("source", "build"),
    "setuptools": ("cmdclass",),
    "hatch": ("build",),
}
_CARGO_DEPENDENCIES = ("dependencies", "dev-dependencies", "build-dependencies")
# Not a version but a place: git+https://..., file:..., owner/repository, http://...
_ELSEWHERE = re.compile(r"[/:]|\bgit\b")
_REQUIREMENT_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_REQUIREMENTS = re.compile(
    rb"(?i)(?:^|/)(?:requirements/[\w.-]+|[\w.-]*requirements[\w.-]*|constraints[\w.-]*)\.(?:txt|in)$"
)
_PLACE = rb"(?:git|hg|svn|bzr)\+|https?:|file:"
# pip takes a value straight after a short option, and each beginning of a long one that is of no
# other: of --index-url, --pypi-url, --extra-index-url, --editable, --find-links, --trusted-host.
_INDEX = re.compile(rb"(?i)^(?:-[ief]|--(?:i|py|e|f|t)|%b|\.{0,2}/)|@\s*(?:%b)" % (_PLACE, _PLACE))
_INCLUDED = re.compile(rb"-[rc]|--r(?!equire-hashes\b)|--con(?!fig)")
"""Another file of requirements or constraints, whatever it is called."""

Document = Mapping[str, Any]
Names = dict[str, str]
"""Dependencies: name to what is asked of it."""
Told = tuple[str, str, Severity | None]
"""Kind and reason of a finding, and its severity where that is not the kind's."""


def manifests(subject: InspectedPatch) -> Iterator[Finding]:
    left = _TOML_TOGETHER_BYTES
    for change in subject.patch.changes:
        name = change.path.rpartition(b"/")[2].lower()
        if not change.new_mode or (change.old_blob == change.new_blob and not _moved(change)):
            continue
        if name in _MANIFESTS:
            parse, compare = _MANIFESTS[name]
            if parse is _toml:
                left -= len(subject.old(change) or b"") + len(subject.new(change) or b"")
            if left < 0:
                yield found("not-inspected", change.path, "too many manifests before it")
            else:
                yield from _manifest(subject, change, parse, compare)
        elif _REQUIREMENTS.search(change.path):
            yield from _requirements(subject, change.path)
        for other in subject.aliases.of(change.path)[1:]:
            if other.rpartition(b"/")[2].lower() in _MANIFESTS:
                reason = (
                    f"read as a manifest{named(change.path, other)}: what it installs is not told"
                )
                yield found("not-inspected", change.path, reason)
                break


def _manifest(
    subject: InspectedPatch,
    change: Change,
    parse: Callable[[bytes], Document],
    compare: Callable[[Document, Document], Iterator[Told]],
) -> Iterator[Finding]:
    old, new = b"" if _moved(change) else subject.old(change), subject.new(change)
    if old is None or new is None:
        yield found("not-inspected", change.path, "too large to compare with what it was")
        return
    try:
        after = parse(new)
    except (ValueError, RecursionError):
        yield found("not-inspected", change.path, "can't be parsed: what it installs is not told")
        return
    try:
        before = parse(old)
    except (ValueError, RecursionError):
        before = {}
    for number, (kind, reason, severity) in enumerate(compare(before, after)):
        if number >= _EACH_FILE:
            yield found(kind, change.path, "and more of the same")
            return
        line = _line_of(subject, change.path, reason)
        yield found(kind, change.path, reason, line=line, severity=severity)


def _moved(change: Change) -> bool:
    """It was another file's name, or stood where nothing installs by it: all of it is new here."""
    return (change.old_path or change.path).lower() != change.path.lower()


def _line_of(subject: InspectedPatch, path: bytes, reason: str) -> int | None:
    """Where the word that a reason names first stands in what was added; a help, not a promise."""
    section = subject.added.get(path)
    word = reason.partition(":")[0].rpartition(" ")[2].encode("utf-8", "replace")
    at = section.text.find(word) if section is not None and word else -1
    return section.line_at(at) if section is not None and at >= 0 else None


def _npm(old: Document, new: Document) -> Iterator[Told]:
    before, after = _table(old, "scripts"), _table(new, "scripts")
    run = sorted(_NPM_SCRIPTS & after.keys())
    yield from _changed(before, after, run, "npm runs {}", shown=True)
    keys = ("gypfile", "workspaces", "packageManager", "pnpm", "trustedDependencies")
    yield from _changed(old, new, keys, "how it installs changes: {}")
    yield from _dependencies(_names(old, _NPM_DEPENDENCIES), _names(new, _NPM_DEPENDENCIES))


def _composer(old: Document, new: Document) -> Iterator[Told]:
    before, after = _table(old, "scripts"), _table(new, "scripts")
    yield from _changed(before, after, sorted(after), "composer runs {}", shown=True)
    keys = ("repositories", "config")
    yield from _changed(old, new, keys, "where or how it installs changes: {}")
    tables = ("require", "require-dev")
    yield from _dependencies(_names(old, tables), _names(new, tables))


def _pyproject(old: Document, new: Document) -> Iterator[Told]:
    before, after = _table(old, "build-system"), _table(new, "build-system")
    words = "building and installing it runs {}"
    yield from _changed(before, after, sorted(after), words, shown=True)
    before, after = _table(old, "tool"), _table(new, "tool")
    for tool, keys in _PYTHON_TOOLS.items():
        words = f"where or how it installs changes: tool.{tool}.{{}}"
        yield from _changed(_table(before, tool), _table(after, tool), keys, words)
    yield from _dependencies(_python_names(old), _python_names(new))


def _cargo(old: Document, new: Document) -> Iterator[Told]:
    before, after = _table(old, "package"), _table(new, "package")
    yield from _changed(before, after, ("build", "links"), "Cargo runs on build", shown=True)
    yield from _changed(old, new, ("patch", "replace"), "where crates come from changes: {}")
    yield from _dependencies(_crates(old), _crates(new))


def _crates(document: Document) -> Names:
    """Those of every target, and those that a workspace's members take from it, too."""
    parts = [document, _table(document, "workspace"), *_tables(document, "target")]
    return {name: of for part in parts for name, of in _names(part, _CARGO_DEPENDENCIES).items()}


def _pipfile(old: Document, new: Document) -> Iterator[Told]:
    yield from _changed(old, new, ("source",), "where packages come from changes: {}")
    tables = ("packages", "dev-packages")
    yield from _dependencies(_names(old, tables), _names(new, tables))


def _changed(
    old: Document, new: Document, keys: Iterable[str], words: str, *, shown: bool = False
) -> Iterator[Told]:
    """What decides how it is installed, where it is new or another than before."""
    for key in keys:
        if key in new and new[key] != old.get(key):
            value = f": {_words(new[key])}" if shown else ""
            yield "install-script", words.format(key[:_QUOTED]) + value, None


def _dependencies(old: Names, new: Names) -> Iterator[Told]:
    for name, wanted in sorted(new.items()):
        words = f"{name[:_QUOTED]}: {wanted[:_QUOTED]}"
        if _ELSEWHERE.search(wanted) and old.get(name) != wanted:
            reason = f"a dependency from elsewhere, {words}"
            yield "dependency-added", reason, Severity.WARNING
        elif name not in old:
            yield "dependency-added", f"a new dependency, {words}", None


def _names(document: Document, tables: tuple[str, ...]) -> Names:
    return {
        str(name): _words(wanted)
        for table in tables
        for name, wanted in _table(document, table).items()
    }


def _python_names(document: Document) -> Names:
    project, tool = _table(document, "project"), _table(document, "tool")
    rows = [*_list(project.get("dependencies"))]
    for key in ("dev-dependencies", "override-dependencies", "constraint-dependencies"):
        rows += _list(_table(tool, "uv").get(key))
    for group in (
        _table(project, "optional-dependencies"),
        _table(document, "dependency-groups"),
        _table(_table(tool, "pdm"), "dev-dependencies"),
    ):
        rows += [row for rows_of in group.values() for row in _list(rows_of)]
    found_names: Names = {}
    for row in rows:
        text = row if isinstance(row, str) else ""
        if match := _REQUIREMENT_NAME.match(text):
            name = re.sub(r"[-_.]+", "-", match[1]).lower()
            found_names[name] = text.partition(";")[0]
    poetry = _table(tool, "poetry")
    for part in (poetry, *_tables(poetry, "group")):
        found_names |= _names(part, ("dependencies", "dev-dependencies"))
    return found_names


def _requirements(subject: InspectedPatch, path: bytes) -> Iterator[Finding]:
    section = subject.added.get(path)
    if section is None:
        return
    for count, (number, row) in enumerate(
        zip(section.numbers, section.text.split(b"\n"), strict=False)
    ):
        if count >= 10_000:
            yield found("not-inspected", path, "more than 10,000 added requirements")
            return
        line = bytes(row).strip()
        text = line[:_QUOTED].decode("utf-8", "replace")
        if _INDEX.search(line):
            reason = f"installs from elsewhere: {text}"
            yield found("dependency-added", path, reason, line=number, severity=Severity.WARNING)
        elif _REQUIREMENT_NAME.match(text) or _INCLUDED.match(line):
            yield found("dependency-added", path, f"a requirement: {text}", line=number)


def _table(document: Document, key: str) -> Document:
    value = document.get(key)
    return value if isinstance(value, Mapping) else {}


def _tables(document: Document, key: str) -> list[Document]:
    """The tables in a table."""
    inner = _table(document, key)
    return [_table(inner, name) for name in inner]


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


def _words(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text[:_QUOTED]


def _json(data: bytes) -> Document:
    value = json.loads(data.decode("utf-8-sig")) if data.strip() else {}
    if not isinstance(value, Mapping):
        raise ValueError("not an object")  # noqa: TRY004 - told as what can't be parsed
    return value


def _toml(data: bytes) -> Document:
    if len(data) > _TOML_LIMIT_BYTES or any(len(r) > _TOML_LINE_BYTES for r in data.split(b"\n")):
        raise ValueError("too large, or a line too long")
    import tomllib  # noqa: PLC0415 - for such a file only

    return tomllib.loads(data.decode("utf-8-sig"))


_MANIFESTS = {
    b"package.json": (_json, _npm),
    b"composer.json": (_json, _composer),
    b"pyproject.toml": (_toml, _pyproject),
    b"cargo.toml": (_toml, _cargo),
    b"pipfile": (_toml, _pipfile),
}
NAMES = frozenset(_MANIFESTS)
