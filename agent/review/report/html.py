"""``report.html``: one self-contained file for the person who reviews the patch.

No scripts, no outside resources, and a content security policy that forbids both: what stands in it
comes from a model and from a repository nobody trusts. Everything is escaped where it becomes
markup (`agent.review.pages.markup`), and characters that act or hide are shown as what they are.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from agent import verification
from agent.record.events.kinds import Event
from agent.record.events.wording import served_in_words
from agent.record.outcome import Finished
from agent.record.summary import DeliveredPatch, RunResult
from agent.record.timeline import RowKind, timeline
from agent.review.pages.page import DiffFile, DiffLine, ReportContent, ReportRow, RiskyFile, page
from agent.risk.credentials import SecretMask
from agent.risk.finding import Finding, risk_by_path
from agent.risk.inspected_patch import parts_of
from agent.untrusted_text import decode, path_text, visible
from agent.verification import Verified

_DIFF_LINES = 20_000
_RESULT_CHARACTERS = 4_000
_LINE_CHARACTERS = 2_000


def render(result: RunResult, log: Sequence[Event]) -> str:
    """The page as HTML text."""
    delivery, summary = result.delivery, result.document
    hide = hiding(delivery)
    return page(
        ReportContent(
            summary=summary,
            delivery=delivery,
            server_side=served_in_words(summary.server_tools, could="could"),
            detail=hide(summary.detail),
            good=isinstance(result.outcome, Finished),
            risks=tuple(risky_files(delivery)) if delivery else (),
            files=tuple(diff_files(delivery)) if delivery else (),
            rows=tuple(_rows(log, hide)),
            verified=verification.in_words(summary.verification),
            verification_good=isinstance(summary.verification, Verified),
            verification_output=hide(getattr(summary.verification, "output", "")),
        )
    )


def hiding(delivery: DeliveredPatch | None) -> Callable[[str], str]:
    """What blots out secrets: where the gate found one, the agent's steps may show it too."""
    findings = delivery.findings if delivery else ()
    if any(finding.id == "secret" for finding in findings):
        return lambda text: SecretMask().text(text)
    return lambda text: text


def diff_files(delivery: DeliveredPatch) -> Iterator[DiffFile]:
    """The patch file by file, in the patch's own order; a very long one is cut and says so."""
    names = _part_paths(delivery)
    secrets = {finding.path for finding in delivery.findings if finding.id == "secret"}
    sections: list[list[DiffLine]] = []
    body = False
    mask = SecretMask()
    for number, raw in enumerate(delivery.patch.data.split(b"\n")):
        if number >= _DIFF_LINES:
            text = f"[cut after {_DIFF_LINES} lines: the whole patch is in {delivery.path.name}]"
            sections.append([DiffLine(kind="meta", text=text)])
            break
        if raw.startswith(b"diff --git "):
            sections.append([])
            body = False
            mask = SecretMask()
        elif raw.startswith(b"@@ "):
            body = True
        if sections:
            line = _diff_line(raw, body=body)
            if body and secrets.intersection(names[len(sections) - 1 : len(sections)]):
                line = replace(line, text=mask.line(line.text))
            sections[-1].append(line)
    for index, lines in enumerate(sections):
        path = path_text(names[index]) if len(names) > index else ""
        yield DiffFile(path=path, lines=tuple(lines))


def risky_files(delivery: DeliveredPatch) -> Iterator[RiskyFile]:
    """The gate's findings by file, the riskiest on top."""
    parts = {path: number for number, path in enumerate(_part_paths(delivery), start=1)}
    by_path: dict[bytes, list[Finding]] = {}
    for finding in delivery.findings:
        by_path.setdefault(finding.path, []).append(finding)
    risk = risk_by_path(delivery.findings)
    for path in sorted(by_path, key=lambda path: (*(-number for number in risk[path]), path)):
        yield RiskyFile(path=path_text(path), findings=tuple(by_path[path]), part=parts.get(path))


def _part_paths(delivery: DeliveredPatch) -> list[bytes]:
    """Whose each ``diff --git`` part of the patch is."""
    return [change.path for change in delivery.patch.changes for _ in range(parts_of(change))]


def _diff_line(raw: bytes, *, body: bool) -> DiffLine:
    kind = "meta"
    if raw.startswith(b"@@ "):
        kind = "hunk"
    elif body:
        kind = {b"+": "add", b"-": "del", b"\\": "meta"}.get(raw[:1], "same")
    text = visible(decode(raw))
    if len(text) > _LINE_CHARACTERS:
        text = f"{text[:_LINE_CHARACTERS]} [cut, {len(raw)} bytes]"
    return DiffLine(kind=kind, text=text)


def _rows(log: Sequence[Event], hide: Callable[[str], str]) -> Iterator[ReportRow]:
    for row in timeline(log):
        if row.kind is RowKind.ANSWERED:
            continue  # the model said it in so many words
        title = row.title if row.number is None else f"{row.number}  {row.title}"
        yield ReportRow(
            style=RowKind.NOTE if row.kind is RowKind.DONE else row.kind,
            title=hide(title),
            detail=hide(_shown(row.detail)),
            aside=" · ".join(filter(None, (row.brief, *row.more))),
        )


def _shown(text: str) -> str:
    if len(text) > _RESULT_CHARACTERS:
        half = _RESULT_CHARACTERS // 2
        left = len(text) - _RESULT_CHARACTERS
        text = f"{text[:half]}\n[… {left} characters are in events.jsonl …]\n{text[-half:]}"
    return visible(text)
