"""The export gate: a look at the finished patch as a stranger's.

A pure function from a patch and a policy to findings. Refuses to know where the patch came from
and what is done about a finding that refuses.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from policies.policy import Policy
from sandbox.ignore import Patterns
from sandbox.manifest import SYMLINK
from sandbox.patch import Patch
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
    protected = Patterns(patterns)
    for change in patch.changes:
        for path in {change.path, change.old_path or change.path}:
            # Lower case: on some systems .GitHub is .github.
            if protected.cover(path.lower()):
                yield Finding(
                    id=PROTECTED,
                    severity=Severity.DANGER,
                    path=path,
                    reason=f"{change.kind} under the policy's paths.protect",
                    refuses=False,
                )


def _links(patch: Patch) -> Iterator[Finding]:
    links = [change for change in patch.changes if change.new_mode == SYMLINK]
    for change in links:
        target = patch.links.get(change.path)
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
