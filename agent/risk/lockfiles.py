"""Lockfiles: that one changed, whether its manifest did too, and from where it downloads.

An address is read as those read it who download from it: behind escapes, with a name in front of
the host, with one slash for two. Owns the files' names, and which manifests stand beside them.
"""

import re
from collections.abc import Iterator

from agent.risk.finding import Finding, Severity, found
from agent.risk.inspected_patch import InspectedPatch
from sandbox.patch.values import Change

# What must have changed with it, in the same folder.
_MANIFESTS_OF: dict[bytes, tuple[bytes, ...]] = {
    b"package-lock.json": (b"package.json",),
    b"npm-shrinkwrap.json": (b"package.json",),
    b"yarn.lock": (b"package.json",),
    b"pnpm-lock.yaml": (b"package.json", b"pnpm-workspace.yaml"),
    b"bun.lock": (b"package.json",),
    b"bun.lockb": (b"package.json",),
    b"poetry.lock": (b"pyproject.toml",),
    b"uv.lock": (b"pyproject.toml",),
    b"pdm.lock": (b"pyproject.toml",),
    b"pipfile.lock": (b"pipfile",),
    b"cargo.lock": (b"cargo.toml",),
    b"gemfile.lock": (b"gemfile",),
    b"composer.lock": (b"composer.json",),
    b"go.sum": (b"go.mod",),
    b"flake.lock": (b"flake.nix",),
    b"deno.lock": (b"deno.json", b"deno.jsonc"),
    b"packages.lock.json": (),
    b"mix.lock": (b"mix.exs",),
    b"pubspec.lock": (b"pubspec.yaml",),
    b"podfile.lock": (b"podfile",),
}
NAMES = frozenset(_MANIFESTS_OF)
_ADDRESS = re.compile(rb"(?i)\b(?:https?:[/\\]*|(?:git|ssh)://)([^\s/\\\"?#<>]+)")
_ESCAPED = re.compile(
    rb"\\(?:(?P<nothing>[tnr]|\r?\n[ \t]*)|(?P<itself>[/\\])"
    rb"|x(?P<x>[0-9A-Fa-f]{2})|u(?P<u>[0-9A-Fa-f]{4})|U(?P<U>[0-9A-Fa-f]{8}))"
)
"""In a string of JSON, TOML or YAML. A tab or a line's end is no part of an address."""
_MOST_ESCAPES = 500_000
_HOSTS_TOLD = 5


def lockfiles(subject: InspectedPatch) -> Iterator[Finding]:
    changed = {change.path.lower() for change in subject.patch.changes}
    for change in subject.patch.changes:
        folder, slash, name = change.path.lower().rpartition(b"/")
        if name not in _MANIFESTS_OF:
            continue
        beside = {folder + slash + manifest for manifest in _MANIFESTS_OF[name]}
        if change.kind == "modified" and beside and not beside & changed:
            reason = "changed, and its manifest did not: why do other packages come?"
            yield found("lockfile", change.path, reason, severity=Severity.WARNING)
        else:
            yield found("lockfile", change.path, f"{change.kind}: other packages are installed")
        yield from _hosts(subject, change)


def _hosts(subject: InspectedPatch, change: Change) -> Iterator[Finding]:
    """Places to download from that a changed lockfile did not name before."""
    section = subject.added.get(change.path)
    if section is None or not change.old_mode:
        return
    old = subject.old(change)
    if old is None:
        yield found("not-inspected", change.path, "too large to compare where it downloads from")
        return
    known = {host for host, _ in _hosts_in(_ESCAPED.sub(_meant, old, _MOST_ESCAPES))}
    text, escapes = _ESCAPED.subn(_meant, section.text, _MOST_ESCAPES)
    if escapes == _MOST_ESCAPES:
        yield found("not-inspected", change.path, "more escapes than are read: look for addresses")
    places: dict[bytes, int] = {}
    for host, at in _hosts_in(text):
        places.setdefault(host, at)
    for host in [host for host in places if host not in known][:_HOSTS_TOLD]:
        line = section.numbers[text.count(b"\n", 0, places[host])]
        shown = host.decode("utf-8", "backslashreplace")
        reason = f"downloads from {shown}, which it did not name before"
        yield found("lockfile", change.path, reason, line=line, severity=Severity.DANGER)


def _hosts_in(text: bytes | bytearray) -> Iterator[tuple[bytes, int]]:
    """Each address's host in lower case, and where it stands."""
    for match in _ADDRESS.finditer(text):
        place = match[1].rpartition(b"@")[2].lower()
        host = place[: place.find(b"]") + 1] if place[:1] == b"[" else place.partition(b":")[0]
        if host := host.rstrip(b"',;)}"):
            yield bytes(host), match.start()


def _meant(escape: re.Match[bytes]) -> bytes:
    if escape["nothing"] is not None or escape["itself"] is not None:
        return escape["itself"] or b""
    code = int(escape["x"] or escape["u"] or escape["U"], 16)
    return chr(code).encode("utf-8", "surrogatepass") if 0x20 <= code <= 0x10FFFF else b""
