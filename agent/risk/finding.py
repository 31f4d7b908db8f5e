"""What the export gate finds in a patch: the value, and every kind of it as a table.

Owns the order in which findings are shown, and the kinds' ids, which are stable: policies
(``export.refuse``) and ``--accept-risk`` name them. The policy's schema has the same ids; a test
holds the two together. Refuses to know how anything is found.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum

from agent.errors import UsageError
from policies.frozen import dataclass


class Severity(IntEnum):
    NOTE = 1
    WARNING = 2
    DANGER = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    id: str
    """The name by which a policy's ``export.refuse`` and ``--accept-risk`` mean it (`KINDS`)."""
    severity: Severity
    path: bytes
    """Empty where the patch as a whole is meant."""
    line: int | None = None
    """In the new file, from 1; None where the whole file is meant."""
    reason: str
    """Hostile text in it is not yet made visible. Never holds a secret that was found."""
    refuses: bool = False
    accepted: bool = False
    """It would refuse, and the operator said ``--accept-risk`` to its id."""


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """What refuses first, then by severity, then by the worst that its file has."""
    rows = tuple(findings)
    risk = risk_by_path(rows)

    def key(finding: Finding) -> tuple[object, ...]:
        worst = tuple(-number for number in risk[finding.path])
        rank = -int(finding.refuses), -int(finding.severity)
        return (*rank, worst, finding.path, finding.line or 0, finding.id, finding.reason)

    return tuple(sorted(rows, key=key))


def risk_by_path(findings: Iterable[Finding]) -> Mapping[bytes, tuple[int, int, int]]:
    """How risky each file is, for comparing: refuses, highest severity, number of findings."""
    worst: dict[bytes, tuple[int, int, int]] = {}
    for finding in findings:
        refuses, severity, count = worst.get(finding.path, (0, 0, 0))
        worst[finding.path] = (
            max(refuses, int(finding.refuses)),
            max(severity, int(finding.severity)),
            count + 1,
        )
    return worst


def findings_by_path(findings: Iterable[Finding]) -> dict[bytes, list[Finding]]:
    found: dict[bytes, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.path, []).append(finding)
    return found


NOTE, WARNING, DANGER = Severity.NOTE, Severity.WARNING, Severity.DANGER


KINDS = {
    "protected-path": DANGER,  # changes what the policy's paths.protect name
    "escaping-symlink": DANGER,  # a link out of the tree or into a .git
    "max-bytes": DANGER,  # the patch is larger than export.max_bytes
    "inspection-failed": DANGER,  # the gate itself failed on this patch
    "not-inspected": WARNING,  # past a bound, or unreadable: not looked at
    "setuid": DANGER,  # a mode with setuid, setgid or sticky bit
    "new-executable": WARNING,  # a file that can be executed and could not
    "symlink": NOTE,  # a new or changed link inside the tree
    "submodule": WARNING,  # a submodule added or moved to another commit
    "ci-workflow": WARNING,  # what a CI service runs, with its secrets
    "git-hook": WARNING,  # hooks, and files that configure git
    "editor-task": WARNING,  # what an editor or shell runs on opening
    "agent-instructions": WARNING,  # what a coding agent obeys
    "install-script": WARNING,  # what runs on install, build or start
    "lockfile": NOTE,  # which exact dependencies are installed
    "dependency-added": NOTE,  # a dependency that was not there before
    "bidi-control": DANGER,  # reorders or smuggles text: seen is not read
    "invisible-text": WARNING,  # characters that hide or act on a terminal
    "lookalike-text": WARNING,  # letters of two scripts in one word
    "odd-name": WARNING,  # a file name that deceives or acts
    "case-collision": WARNING,  # one file with another on some systems
    "secret": DANGER,  # looks like a credential (rules of detect-secrets)
    "binary": NOTE,  # a file whose change no diff shows
    "test-removed": NOTE,  # a test deleted or skipped
    "long-line": NOTE,  # a line too long for a person to review
    "too-large": NOTE,  # more than a person reviews in one go
    "prompt-injection": WARNING,  # text that tells a reviewer or a model what to decide
    "not-approved": WARNING,  # the reviewer that was asked did not approve it
}
"""By id: the severity, where an inspection does not say otherwise."""

NOT_APPROVED = "not-approved"
"""Not found in a patch but said of it (`agent.risk.opinion`)."""

ALWAYS = frozenset({"max-bytes", "inspection-failed"})
"""These refuse whatever the policy lists."""

NEVER_ACCEPTED = {
    "max-bytes": "it is a number of the policy's: raise export.max_bytes there",
}


def found(
    kind: str,
    path: bytes,
    reason: str,
    *,
    line: int | None = None,
    severity: Severity | None = None,
    refuses: bool = False,
    accepted: bool = False,
) -> Finding:
    """A finding of this kind; the gate judges it unless that is said."""
    return Finding(
        id=kind,
        severity=KINDS[kind] if severity is None else severity,
        path=path,
        line=line,
        reason=reason,
        refuses=refuses,
        accepted=accepted,
    )


def accepted_risks(names: Iterable[str]) -> frozenset[str]:
    """The ids that ``--accept-risk`` gave.

    Raises:
        UsageError: one is no id, or can't be accepted.
    """
    chosen = frozenset(names)
    for name in sorted(chosen):
        if name in NEVER_ACCEPTED:
            raise UsageError(f"--accept-risk {name}: {NEVER_ACCEPTED[name]}")
        if name not in KINDS:
            from policies.suggestion import did_you_mean  # noqa: PLC0415 - for a mistake only

            may = KINDS.keys() - NEVER_ACCEPTED.keys()
            known, near = ", ".join(sorted(may)), did_you_mean(name, may)
            raise UsageError(f"--accept-risk {name}: no such finding. There are: {known}{near}")
    return chosen
