"""What the export gate found, as rows of a table."""

from collections.abc import Iterable

from agent.review.pages.markup import Markup, tag
from agent.risk.finding import Finding, Severity
from agent.untrusted_text import one_line


def badge(text: str, kind: str = "") -> Markup:
    return tag("span", text, class_=f"badge {kind}".rstrip())


def finding_rows(findings: Iterable[Finding]) -> list[Markup]:
    return [_row(finding) for finding in findings]


def _row(finding: Finding) -> Markup:
    if finding.refuses:
        weight = badge("refused", "bad")
    elif finding.accepted:
        weight = badge("accepted", "note" if finding.severity is Severity.NOTE else "")
    else:
        kinds = {Severity.DANGER: "bad", Severity.NOTE: "note"}
        weight = badge(finding.severity.name.lower(), kinds.get(finding.severity, ""))
    return tag(
        "tr",
        tag("td", weight, class_="n left"),
        tag("td", finding.id, class_="mono id"),
        tag("td", one_line(finding.reason)),
        tag("td", f"line {finding.line}" if finding.line else "", class_="n"),
    )
