"""Tests that went or no longer count: an agent told to make tests pass can take them away."""

import re
from collections.abc import Iterator

from agent.risk.finding import Finding
from agent.risk.inspected_patch import InspectedPatch
from agent.risk.kinds import found
from sandbox.patch.values import ChangeKind

_EACH_FILE = 10
_TEST_FILE = re.compile(
    rb"(?:^|/)(?:tests?|specs?|__tests__)/|(?:^|/)test_[^/]*$|_(?:test|spec)\.[a-z]+$"
    rb"|\.(?:test|spec)\.[cm]?[jt]sx?$|Tests?\.(?:java|kt|cs|swift|php)$"
)
_SKIP = re.compile(
    rb"@pytest\.mark\.(?:skip|skipif|xfail)\b|\bpytest\.(?:skip|xfail|importorskip)\(|@(?:unittest\.)?skip"
    rb"|\.skipTest\(|\b(?:it|test|describe|context)\.(?:skip|todo)\b|\b(?:xit|xdescribe|xtest)\("
    rb"|\bt\.Skip(?:f|Now)?\(|@(?:Disabled|Ignore)\b|#\[ignore\b"
)


def inspect(subject: InspectedPatch) -> Iterator[Finding]:
    for change in subject.patch.changes:
        if change.kind is ChangeKind.DELETED and _TEST_FILE.search(change.path):
            yield found("test-removed", change.path, f"deleted: {change.deleted_lines or 0} lines")
    for path, section in subject.added.items():
        if not _TEST_FILE.search(path):
            continue
        for count, match in enumerate(_SKIP.finditer(section.text)):
            if count >= _EACH_FILE:
                break
            reason = f"a test is skipped: {bytes(match[0]).decode()}"
            yield found("test-removed", path, reason, line=section.line_at(match.start()))
