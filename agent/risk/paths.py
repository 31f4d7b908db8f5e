"""Findings by path, mode and link alone: what a patch touches, whatever stands in it.

Tests that went or no longer count are among them, told by a path or by a line that skips: an agent
told to make tests pass can take them away.
"""

import re
import unicodedata
from collections.abc import Iterator

from agent.risk import unseen
from agent.risk.finding import NOTE, Finding, found
from agent.risk.inspected_patch import MOST, InspectedPatch
from sandbox.git.ignore import OperatorPatterns
from sandbox.git.manifest import EXECUTABLE, SYMLINK
from sandbox.git.path_rules import folded_path, is_dot_git, leaves_tree
from sandbox.patch.values import ChangeKind

SUBMODULE = 0o160000
_TYPE = 0o170000
_SPECIAL = 0o007000
_MANY_FILES = 500
_MANY_LINES = 20_000
_WINDOWS = re.compile(r'[\\:<>"|?*]|\.\Z|\A(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|\Z)', re.IGNORECASE)
"""In a part of a name: a folder's sign or a stream's, what can't be one, or a device."""


def size(subject: InspectedPatch) -> Iterator[Finding]:
    patch, limit = subject.patch, subject.policy.export.max_bytes
    if len(patch.data) > limit:
        reason = f"the patch has {len(patch.data)} bytes, export.max_bytes allows {limit}"
        yield found("max-bytes", b"", reason)
    lines = sum((c.added_lines or 0) + (c.deleted_lines or 0) for c in patch.changes)
    if len(patch.changes) > _MANY_FILES or lines > _MANY_LINES:
        yield found("too-large", b"", f"{len(patch.changes)} files and {lines} lines change")


def protected(subject: InspectedPatch) -> Iterator[Finding]:
    lines = [line.lower() for line in subject.policy.paths.protect]
    patterns, above = OperatorPatterns(lines), OperatorPatterns(_above(lines))
    for change in subject.patch.changes:
        replaces = change.new_mode in {SYMLINK, SUBMODULE}
        for path in {change.path, change.old_path or change.path}:
            names = subject.aliases.of(path) if lines else ()
            for name in names:
                # Folded: on some systems .GitHub is .github. And what takes a folder's place
                # decides what is found below it.
                forms = [name.lower(), folded_path(name)]
                inside = [form + b"/any" for form in forms] if replaces else []
                if any(map(patterns.cover, forms + inside)) or (
                    replaces and any(above.names(form, directory=True) for form in forms)
                ):
                    reason = f"{change.kind} under the policy's paths.protect{named(path, name)}"
                    yield found("protected-path", path, reason)
                    break
            else:
                if len(names) > MOST:
                    reason = f"{change.kind}; links give it more names than are compared"
                    yield found("protected-path", path, reason)


def named(path: bytes, name: bytes) -> str:
    """The other name of a path, for the end of a reason; empty where it is the path's own."""
    return "" if name == path else f", as {name.decode('utf-8', 'backslashreplace')}"


def _above(lines: list[str]) -> list[str]:
    """Patterns of the folders on the way to what `lines` protect: whatever stands for one of them
    brings files of those names, which have other names in the patch."""
    found = []
    for line in lines:
        parts = line.rstrip().strip("/").split("/")
        if not line.startswith("!"):
            ways = ("/".join(parts[:length]) for length in range(1, len(parts)))
            found += [f"/{way}" for way in ways if way != "**"]
    return found


def links(subject: InspectedPatch) -> Iterator[Finding]:
    for change in subject.patch.changes:
        if change.new_mode != SYMLINK:
            continue
        target = subject.patch.links.get(change.path)
        shown = "?" if target is None else target.decode("utf-8", "backslashreplace")
        if (
            target is None
            or leaves_tree(change.path, target)
            or any(map(is_dot_git, target.split(b"/")))
        ):
            reason = f"a symbolic link out of the tree, or one that can't be judged: {shown}"
            yield found("escaping-symlink", change.path, reason)
        elif change.old_blob != change.new_blob or change.old_mode != SYMLINK or change.old_path:
            yield found("symlink", change.path, f"a symbolic link to {shown}")


def modes(subject: InspectedPatch) -> Iterator[Finding]:
    for change in subject.patch.changes:
        mode = change.new_mode
        if mode == EXECUTABLE and change.old_mode != EXECUTABLE:
            reason = "becomes executable" if change.old_mode else "a new executable file"
            yield found("new-executable", change.path, reason)
        if mode & _SPECIAL:
            yield found("setuid", change.path, f"its mode is {mode:o}")
        if SUBMODULE in {mode & _TYPE, change.old_mode & _TYPE}:
            yield found("submodule", change.path, f"{change.kind}: a commit of another repository")


def names(subject: InspectedPatch) -> Iterator[Finding]:
    for change in subject.patch.changes:
        if change.old_mode and not change.old_path:
            continue  # it has this name already
        path = change.path
        try:
            text = path.decode()
        except UnicodeDecodeError:
            yield found("odd-name", path, "the name is not UTF-8", severity=NOTE)
            continue
        for kind, words in unseen.in_text(text, controls=frozenset()):
            where = "bidi-control" if kind == "bidi-control" else "odd-name"
            yield found(where, path, f"in its name: {words}")
            break
        if any(part.startswith("-") for part in text.split("/")):
            yield found("odd-name", path, "a part of its name begins with a dash, as options do")
        if any(part != part.strip(" ") for part in text.split("/")):
            yield found("odd-name", path, "a part of its name begins or ends with a space")
        elif any(map(_WINDOWS.search, text.split("/"))):
            yield found("odd-name", path, "on Windows it is another name, or none")
        if text != unicodedata.normalize("NFC", text):
            yield found("odd-name", path, "its name is not in Unicode's form NFC", severity=NOTE)


def collisions(subject: InspectedPatch) -> Iterator[Finding]:
    for path, other in subject.patch.collisions.items():
        name = other.decode("utf-8", "backslashreplace")
        yield found("case-collision", path, f"on macOS and Windows the same name as {name}")


_EACH_FILE = 10
_EMPTY = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
"""git's id of a file without content."""
_TEST_NAME = re.compile(
    rb"(?:^|/)test_[^/]*$|_(?:test|spec)\.[a-z]+$"
    rb"|\.(?:test|spec)\.[cm]?[jt]sx?$|Tests?\.(?:java|kt|cs|swift|php)$"
)
_TEST_FILE = re.compile(rb"(?:^|/)(?:tests?|specs?|__tests__)/|" + _TEST_NAME.pattern)
_SKIP = re.compile(
    rb"@pytest\.mark\.(?:skip|skipif|xfail)\b|\bpytest\.(?:skip|xfail|importorskip)\(|@(?:unittest\.)?skip"
    rb"|\.skipTest\(|\b(?:it|test|describe|context)\.(?:skip|todo)\b|\b(?:xit|xdescribe|xtest)\("
    rb"|\bt\.Skip(?:f|Now)?\(|@(?:Disabled|Ignore)\b|#\[ignore\b"
)


def removed_tests(subject: InspectedPatch) -> Iterator[Finding]:
    for change in subject.patch.changes:
        old = change.old_path or change.path
        if not change.old_mode or not _TEST_FILE.search(old):
            continue
        if change.kind is ChangeKind.DELETED or _EMPTY == change.new_blob != change.old_blob:
            yield found("test-removed", change.path, f"deleted: {change.deleted_lines or 0} lines")
        elif not _TEST_FILE.search(change.path) or (
            _TEST_NAME.search(old) and not _TEST_NAME.search(change.path)
        ):
            reason = (
                f"moved from {old.decode('utf-8', 'backslashreplace')}, no test by its name now"
            )
            yield found("test-removed", change.path, reason)
    for path, section in subject.added.items():
        if not _TEST_FILE.search(path):
            continue
        for count, match in enumerate(_SKIP.finditer(section.text)):
            if count >= _EACH_FILE:
                break
            reason = f"a test is skipped: {bytes(match[0]).decode()}"
            yield found("test-removed", path, reason, line=section.line_at(match.start()))
