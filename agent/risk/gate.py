"""The export gate: a look at the finished patch as a stranger's.

A pure function from a patch and a policy to findings, bounded in number. An inspection that fails
does not pass the patch: its failing is a finding that refuses. Refuses to know where the patch
came from and what is done about a finding.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from agent.risk import (
    credentials,
    executed_files,
    lockfiles,
    manifests,
    paths,
    prompt_injection,
    unseen,
)
from agent.risk.finding import ALWAYS, Finding, Severity, found, ordered
from agent.risk.inspected_patch import InspectedPatch, aliases_in, take_apart
from policies.policy import Policy
from sandbox.patch.values import Patch

Inspection = Callable[[InspectedPatch], Iterable[Finding]]

BY_NAME: tuple[tuple[str, Inspection], ...] = (
    ("size", paths.size),
    ("protected paths", paths.protected),
    ("links", paths.links),
    ("modes", paths.modes),
    ("names", paths.names),
    ("collisions of names", paths.collisions),
    ("files that run by themselves", executed_files.inspect),
    ("manifests", manifests.manifests),
    ("lockfiles", lockfiles.lockfiles),
    ("tests", paths.removed_tests),
    ("binaries", unseen.binaries),
    ("long lines", unseen.long_lines),
    ("unseen text", unseen.text),
    ("secrets", credentials.inspect),
    ("words to a reviewer", prompt_injection.inspect),
)
COMPARED = manifests.NAMES | lockfiles.NAMES
"""Names in lower case. A patch keeps both versions of these (`sandbox.patch.values`)."""
_QUOTING = frozenset(
    {"install-script", "dependency-added", "prompt-injection", "symlink", "escaping-symlink"}
)
_LONGEST_REASON = 300
"""Of what quotes content; cut behind the mask, since a part of a secret would not be known."""
_EACH_KIND = 200
"""Of one kind and severity so many are listed, the rest counted."""


def inspect(
    patch: Patch,
    policy: Policy,
    *,
    accepted: frozenset[str] = frozenset(),
    inspections: tuple[tuple[str, Inspection], ...] = BY_NAME,
) -> tuple[Finding, ...]:
    """Every finding, judged and in order (`finding.ordered`).

    Args:
        accepted: ids of findings that the operator lets pass this time.
    """
    rows = map(_masked, _bounded(_all(patch, policy, inspections)))
    refusing = ALWAYS.union(policy.export.refuse)
    return ordered(
        replace(row, refuses=row.id not in accepted, accepted=row.id in accepted)
        if row.id in refusing
        else row
        for row in rows
    )


def _all(
    patch: Patch, policy: Policy, inspections: tuple[tuple[str, Inspection], ...]
) -> Iterator[Finding]:
    try:
        subject = take_apart(patch, policy)
    except Exception as error:  # noqa: BLE001 - whatever it is, the patch is not let through
        yield _failed("the hunks", error)
        subject = InspectedPatch(
            patch=patch, policy=policy, added={}, not_inspected=(), aliases=aliases_in(patch)
        )
    for path in subject.not_inspected:
        yield found("not-inspected", path, "too much content before it: its lines were not read")
    for name, inspection in inspections:
        try:
            yield from inspection(subject)
        except Exception as error:  # noqa: BLE001 - as above
            yield _failed(name, error)


def _failed(what: str, error: Exception) -> Finding:
    # No more than the error's type: its words may hold content of the patch.
    reason = f"looking at {what} failed ({type(error).__name__}): please report this"
    return found("inspection-failed", b"", reason)


def _masked(finding: Finding) -> Finding:
    """Without what looks like a secret in a reason that quotes content."""
    if finding.id not in _QUOTING:
        return finding
    try:
        reason = credentials.masked(finding.reason)
    except Exception:  # noqa: BLE001 - the rules can't be loaded, of which there is a finding
        reason = finding.reason.partition(":")[0]
    cut = len(reason) > _LONGEST_REASON
    return replace(finding, reason=f"{reason[: _LONGEST_REASON - 1]}…" if cut else reason)


def _bounded(findings: Iterable[Finding]) -> Iterator[Finding]:
    counts: Counter[tuple[str, Severity]] = Counter()
    for finding in findings:
        counts[finding.id, finding.severity] += 1
        if counts[finding.id, finding.severity] <= _EACH_KIND:
            yield finding
    for (kind, severity), count in counts.items():
        if count > _EACH_KIND:
            reason = f"{count - _EACH_KIND} more of this kind, not listed"
            yield found(kind, b"", reason, severity=severity)
