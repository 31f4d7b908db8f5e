"""Lockfiles: that one changed, whether its manifest did too, and from where it downloads."""

import re
from collections.abc import Iterator

from agent.risk.finding import Finding, Severity
from agent.risk.inspected_patch import InspectedPatch
from agent.risk.kinds import found
from sandbox.patch.values import Change

# What must have changed with it, in the same folder.
_MANIFESTS: dict[bytes, tuple[bytes, ...]] = {
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
_HOST = re.compile(
    rb"(?i)\b(?:https?|git|ssh|git\+ssh|git\+https?)://(?:[^\s/@\"']{0,200}@)?([a-z0-9.-]{1,253})"
)
_HOSTS_TOLD = 5


def inspect(subject: InspectedPatch) -> Iterator[Finding]:
    changed = {change.path.lower() for change in subject.patch.changes}
    for change in subject.patch.changes:
        folder, slash, name = change.path.lower().rpartition(b"/")
        if name not in _MANIFESTS:
            continue
        beside = {folder + slash + manifest for manifest in _MANIFESTS[name]}
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
    known = {match[1].lower() for match in _HOST.finditer(old)}
    told = 0
    for match in _HOST.finditer(section.text):
        host = bytes(match[1]).lower()
        if host not in known:
            known.add(host)
            told += 1
            if told > _HOSTS_TOLD:
                return
            line = section.line_at(match.start())
            reason = f"downloads from {host.decode()}, which it did not name before"
            yield found("lockfile", change.path, reason, line=line, severity=Severity.DANGER)
