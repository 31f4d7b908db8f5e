"""One thing that the export gate found in a patch, and the order in which findings are shown.

Owns the value. Refuses to know how anything is found.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum

from policies.frozen import dataclass


class Severity(IntEnum):
    NOTE = 1
    WARNING = 2
    DANGER = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    id: str
    """The name by which a policy's ``export.refuse`` and ``--accept-risk`` mean it (`kinds`)."""
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
        return (*_rank(finding), worst, finding.path, finding.line or 0, finding.id, finding.reason)

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


def _rank(finding: Finding) -> tuple[int, int]:
    return -int(finding.refuses), -int(finding.severity)
