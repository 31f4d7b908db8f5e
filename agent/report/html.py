"""``report.html``: one self-contained file for the person who reviews the patch.

No scripts, no outside resources, and a content security policy that forbids both: what stands in it
comes from a model and from a repository nobody trusts. Everything is escaped where it becomes
markup (`agent.report.markup`), and characters that act or hide are shown as what they are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from agent import verification
from agent.models.interface import Opaque, Text
from agent.record import outcome as outcomes
from agent.record.events.spending import spending_in_words
from agent.record.events.types import (
    ApprovalAnswered,
    CallEnded,
    CallRefused,
    CallStarted,
    ContextShown,
    Event,
    HistorySummarised,
    ImagesWithdrawn,
    ModelReplied,
    ModelRetry,
    Notice,
    PatchApplied,
    RequestWithdrawn,
    ResultsCleared,
    ResultsShortened,
    UserMessageAdded,
    WorkspaceRestored,
)
from agent.record.events.wording import (
    call_in_words,
    decision_rule,
    served_in_words,
    shown_in_words,
)
from agent.record.outcome import Finished
from agent.record.summary import DeliveredPatch, Summary
from agent.report.page import DiffFile, DiffLine, ReportContent, RiskyFile, Row, page
from agent.risk.credentials import SecretMask
from agent.risk.finding import Finding, risk_by_path
from agent.risk.inspected_patch import parts_of
from agent.untrusted_text import decode, one_line, path_text, visible
from agent.verification import Verified

_DIFF_LINES = 20_000
_RESULT_CHARACTERS = 4_000
_LINE_CHARACTERS = 2_000
_SLOW_S = 0.1
"""What took less says nothing of its duration."""


def render(summary: Summary, log: Sequence[Event]) -> str:
    """The page as HTML text."""
    delivery = summary.delivery
    hide = _hiding(delivery)
    rows = (replace(row, title=hide(row.title), detail=hide(row.detail)) for row in timeline(log))
    return page(
        ReportContent(
            summary=summary,
            server_side=served_in_words(summary.job.policy.server_tools, could="could"),
            outcome=outcomes.name(summary.outcome),
            detail=hide(outcomes.detail(summary.outcome)),
            good=isinstance(summary.outcome, Finished),
            risks=tuple(risky_files(delivery)) if delivery else (),
            changes=delivery.changes() if delivery else (),
            files=tuple(diff_files(delivery)) if delivery else (),
            rows=tuple(rows),
            verified=verification.in_words(summary.verification),
            verification_good=isinstance(summary.verification, Verified),
            verification_output=hide(getattr(summary.verification, "output", "")),
        )
    )


def _hiding(delivery: DeliveredPatch | None) -> Callable[[str], str]:
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


def timeline(log: Sequence[Event]) -> Iterator[Row]:
    """What was said, called, refused and answered, in order."""
    started: dict[int, CallStarted] = {}
    for event in log:
        match event:
            case ModelReplied():
                yield from _reply_rows(event)
            case CallStarted():
                started[event.number] = event
            case CallEnded():
                yield _call_row(event, started.get(event.number))
            case CallRefused():
                yield Row(
                    kind="denied",
                    title=_numbered(event.number, event.tool, event.arguments),
                    detail=_shown(event.text),
                    aside=event.why,
                )
            case _:
                yield from _notes(event)


def _reply_rows(event: ModelReplied) -> Iterator[Row]:
    for block in event.reply.message.blocks:
        if isinstance(block, Text) and block.text.strip():
            yield Row(kind="said", title=visible(block.text.strip()))
        elif isinstance(block, Opaque) and block.server_side:
            title = f"run by the model's service: {one_line(block.server_side, 300)}"
            yield Row(kind="note", title=title)


def _notes(event: Event) -> Iterator[Row]:
    match event:
        case ApprovalAnswered():
            yield Row(kind="note", title=f"a person was asked: {event.answer}")
        case ModelRetry():
            yield Row(kind="note", title=one_line(f"the model was asked again: {event.reason}"))
        case ContextShown():
            yield Row(kind="note", title=shown_in_words(event), detail=_shown(event.text))
        case ImagesWithdrawn():
            yield Row(kind="note", title="the service did not take the images: they were withdrawn")
        case UserMessageAdded() if event.what == "request":
            yield Row(kind="asked", title=visible(event.text))
        case UserMessageAdded() | Notice():
            yield Row(kind="note", title=visible(event.text))
        case RequestWithdrawn():
            yield Row(kind="note", title="declined: the request is no part of the conversation now")
        case WorkspaceRestored():
            words = f"the files went back to what they were after call {event.call}"
            yield Row(kind="note", title=words)
        case PatchApplied():
            where = f"{len(event.changes)} files were applied to {event.directory}"
            yield Row(kind="note", title=visible(where))
        case ResultsCleared() | ResultsShortened() | HistorySummarised():
            yield Row(kind="note", title=spending_in_words(event))
        case _:
            pass


def _call_row(event: CallEnded, begun: CallStarted | None) -> Row:
    failed = event.is_error or event.exit_code not in {None, 0}
    arguments = begun.arguments if begun else {}
    rule = decision_rule(begun.decision) if begun else ""
    took = f"{event.seconds:.2f} s" if event.seconds >= _SLOW_S else ""
    refused = f"refused by the kernel: {', '.join(event.refused)}" if event.refused else ""
    met = f"limits met: {', '.join(event.limits)}" if event.limits else ""
    parts = [one_line(event.brief, 100), one_line(refused, 200), met, took, one_line(rule, 100)]
    return Row(
        kind="failed" if failed else "ok",
        title=_numbered(event.number, event.tool, arguments),
        detail=_shown(event.text),
        aside=" · ".join(part for part in parts if part),
    )


def _numbered(number: int, tool: str, arguments: Mapping[str, object]) -> str:
    return f"{number}  {one_line(call_in_words(tool, arguments), 300)}"


def _shown(text: str) -> str:
    if len(text) > _RESULT_CHARACTERS:
        half = _RESULT_CHARACTERS // 2
        left = len(text) - _RESULT_CHARACTERS
        text = f"{text[:half]}\n[… {left} characters are in events.jsonl …]\n{text[-half:]}"
    return visible(text)
