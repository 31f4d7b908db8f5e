"""The export gate: a look at the finished patch as a stranger's.

A pure function from a patch and a policy to findings. Refuses to know where the patch came from
and what is done about a finding that refuses.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from pathspec import GitIgnoreSpec

from policies.policy import Policy
from sandbox.manifest import SYMLINK
from sandbox.patch import Change, Patch
from sandbox.pathrules import is_dot_git, leaves_tree

PROTECTED = "protected-path"
ESCAPING = "escaping-symlink"
TOO_LARGE = "max-bytes"

_TYPE_LINE = re.compile(rb"^(?:new file mode|new mode|index [0-9a-f.]+) 120000$")


class Severity(IntEnum):
    NOTE = 1
    WARNING = 2
    DANGER = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    id: str
    """The name by which a policy's ``export.refuse`` means it."""
    severity: Severity
    path: bytes
    """Empty where the patch as a whole is meant."""
    reason: str
    refuses: bool


def inspect(patch: Patch, policy: Policy) -> tuple[Finding, ...]:
    """Every finding, the most severe first."""
    found = [*_size(patch, policy), *_protected(patch, policy), *_links(patch)]
    judged = [
        Finding(
            id=finding.id,
            severity=finding.severity,
            path=finding.path,
            reason=finding.reason,
            refuses=finding.refuses or finding.id in policy.export.refuse,
        )
        for finding in found
    ]
    return tuple(sorted(judged, key=lambda f: (-int(f.refuses), -f.severity, f.path)))


def _size(patch: Patch, policy: Policy) -> Iterator[Finding]:
    limit = policy.export.max_bytes
    if len(patch.data) > limit:
        yield Finding(
            id=TOO_LARGE,
            severity=Severity.DANGER,
            path=b"",
            reason=f"the patch has {len(patch.data)} bytes, export.max_bytes allows {limit}",
            refuses=True,
        )


def _protected(patch: Patch, policy: Policy) -> Iterator[Finding]:
    patterns = [line.lower() for line in policy.paths.protect]
    spec = GitIgnoreSpec.from_lines(patterns)
    for change in patch.changes:
        for path in {change.path, change.old_path or change.path}:
            # Lower case: on some systems .GitHub is .github.
            text = path.decode("utf-8", "surrogateescape").lower()
            if spec.match_file(text):
                yield Finding(
                    id=PROTECTED,
                    severity=Severity.DANGER,
                    path=path,
                    reason=f"{change.kind} under the policy's paths.protect",
                    refuses=False,
                )


def _links(patch: Patch) -> Iterator[Finding]:
    links = [change for change in patch.changes if change.new_mode == SYMLINK]
    if not links:
        return
    targets = _link_targets(patch)
    for change in links:
        target = targets.get(change.path)
        if target is None or _leaves(change.path, target):
            shown = "?" if target is None else target.decode("utf-8", "backslashreplace")
            yield Finding(
                id=ESCAPING,
                severity=Severity.DANGER,
                path=change.path,
                reason=f"a symbolic link out of the tree, or one that can't be judged: {shown}",
                refuses=False,
            )


def _leaves(path: bytes, target: bytes) -> bool:
    """Does a link at `path` lead out of the tree, or into a ``.git``?"""
    return leaves_tree(path, target) or any(is_dot_git(part) for part in target.split(b"/"))


def _link_targets(patch: Patch) -> dict[bytes, bytes]:
    """Targets of the symbolic links that the patch writes, by path.

    Sections of a git patch come in the order of `Patch.changes`, two of them (deleted, new) for a
    path that changes its type; where their number is another nothing is believed, and every link
    counts as one that can't be judged.
    """
    sections = _sections(patch.data)
    changes = [
        None if first and _changes_type(change) else change
        for change in patch.changes
        for first in ((True, False) if _changes_type(change) else (False,))
    ]
    if len(sections) != len(changes):
        return {}
    targets = {}
    for change, section in zip(changes, sections, strict=True):
        if change is not None and any(_TYPE_LINE.match(line) for line in section):
            target = _added(section)
            if target is not None:
                targets[change.path] = target
    return targets


def _changes_type(change: Change) -> bool:
    both = change.old_mode and change.new_mode
    return bool(both) and (change.old_mode == SYMLINK) != (change.new_mode == SYMLINK)


def _sections(data: bytes) -> list[list[bytes]]:
    sections: list[list[bytes]] = []
    for line in data.split(b"\n"):
        # Lines of a file's content start with a blank, + or -, so this is a header in any case.
        if line.startswith(b"diff --git "):
            sections.append([])
        elif sections:
            sections[-1].append(line)
    return sections


def _added(section: list[bytes]) -> bytes | None:
    start = next((at for at, line in enumerate(section) if line.startswith(b"@@ ")), None)
    if start is None:
        return None
    added = [line[1:] for line in section[start + 1 :] if line.startswith(b"+")]
    return b"\n".join(added)
