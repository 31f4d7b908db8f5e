"""The report's page: which words stand where. Made of tags that escape what they are given.

Owns the layout. What a model or a repository had a hand in comes here as it is and is made visible;
refuses to know events (`agent.review.report.html`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from agent.record.summary import DeliveredPatch, RunSummary
from agent.review.pages.markup import Markup, joined, tag
from agent.risk.finding import Finding, Severity
from agent.untrusted_text import one_line, path_text, visible
from policies.frozen import dataclass
from sandbox.patch.values import Change

_POLICY = Markup(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
_ROWS = 500
"""Most rows of one table; the rest is counted."""
_ENDED_BADLY = (3, 4, 5)
"""Exit codes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffLine:
    kind: str
    """CSS class: ``add``, ``del``, ``hunk``, ``meta`` or ``same``."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffFile:
    path: str
    lines: tuple[DiffLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskyFile:
    """What the gate found in one file, or in the patch as a whole."""

    path: str
    """Empty for the patch as a whole."""
    findings: tuple[Finding, ...]
    part: int | None
    """Of the shown diff, from 1; None where it is not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """One entry of the timeline."""

    style: str
    """CSS class: ``asked``, ``said``, ``ok``, ``failed``, ``denied`` or ``note``."""
    title: str
    detail: str = ""
    """Shown folded where there is one."""
    aside: str = ""
    """Duration, exit code, rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """All that a page shows. Texts are visible and without secrets already."""

    summary: RunSummary
    delivery: DeliveredPatch | None
    """None where no patch could be made."""
    server_side: str
    """What the model's service could run; empty for nothing."""
    detail: str
    good: bool
    """The agent finished."""
    risks: Sequence[RiskyFile]
    files: Sequence[DiffFile]
    rows: Sequence[ReportRow]
    verified: str
    verification_good: bool
    verification_output: str


def page(content: ReportContent) -> str:
    """The page as HTML text."""
    style = Path(__file__).with_name("report.css").read_text("utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"Moonpool run {content.summary.run_id}"),
        tag("style", Markup(style)),
    )
    body = tag("body", tag("main", *(joined(part, "\n") for part in _parts(content))))
    return f'<!doctype html>\n<html lang="en">\n{head}\n{body}\n</html>\n'


def _parts(content: ReportContent) -> Iterator[Markup]:
    summary = content.summary
    if summary.kernel_enforced is False:
        words = "what it allows was only checked, not held."
        where = "The kernel did not enforce the policy in this run (--kernel-policy=prefer)"
        yield tag("p", f"{where}: {words}", class_="alarm")
    if content.server_side:
        yield tag("p", f"{content.server_side}.", class_="alarm")
    yield _header(content)
    yield from _risks(content)
    yield tag("h2", "What changed")
    yield _changes(content)
    if summary.verify:
        yield tag("h2", "Verification")
        output = content.verification_output
        yield tag(
            "div",
            tag("p", visible(content.verified), class_="words"),
            _folded("output", tag("pre", visible(output), class_="words")) if output else "",
            class_="card",
        )
    if content.files:
        yield tag("h2", "The patch")
        yield from map(_file, range(1, len(content.files) + 1), content.files)
    yield tag("h2", "What happened")
    yield tag("ol", *map(_row, content.rows), class_="timeline")
    yield from _lists(summary)
    yield tag("h2", "The run")
    yield tag("div", tag("dl", *_facts(summary, content.delivery)), class_="card")
    yield tag(
        "footer",
        "Made by Moonpool on this machine; nothing in this page is loaded from anywhere else.",
    )


def _header(content: ReportContent) -> Markup:
    summary, delivery = content.summary, content.delivery
    bad = "bad" if summary.exit_code in _ENDED_BADLY else ""
    badges = [_badge(summary.outcome, "good" if content.good else bad)]
    if delivery is None:
        badges.append(_badge("no patch", "bad"))
    elif delivery.refused:
        badges.append(_badge("export refused", "bad"))
    else:
        badges.append(_badge("patch proved" if summary.changes else "nothing changed", "good"))
    if summary.verify:
        good = content.verification_good
        badges.append(_badge("verified" if good else "not verified", "good" if good else "bad"))
    told = content.detail and not (delivery and delivery.refused)
    return tag(
        "header",
        tag("p", f"moonpool · {summary.run_id}", class_="run"),
        tag("h1", visible(summary.task)),
        tag("div", *badges, class_="badges"),
        _card(tag("p", visible(content.detail), class_="words")) if told else "",
    )


def _badge(text: str, kind: str) -> Markup:
    return tag("span", text, class_=f"badge {kind}".rstrip())


def _card(*content: str) -> Markup:
    return tag("div", *content, class_="card")


def _folded(summary: str, content: Markup) -> Markup:
    return tag("details", tag("summary", summary), content)


def _risks(content: ReportContent) -> Iterator[Markup]:
    if not content.risks:
        return
    yield tag("h2", "Risk: what the export gate found")
    accepted = content.summary.accepted_risks
    if accepted:
        names = tag("span", ", ".join(sorted(accepted)), class_="mono")
        yield tag("p", "The operator lets pass in this run: ", names, class_="soft")
    for file in content.risks:
        worst = file.findings[0]
        kind = "danger" if worst.refuses else worst.severity.name.lower()
        name = file.path
        if file.part and file.part <= len(content.files):
            name = tag("a", name, href=f"#part-{file.part}")
        yield tag(
            "div",
            tag("h3", name or "the patch as a whole", class_="mono"),
            tag("table", *map(_finding, file.findings)),
            class_=f"card risk {kind}",
        )


def _finding(finding: Finding) -> Markup:
    if finding.refuses:
        badge = _badge("refused", "bad")
    elif finding.accepted:
        badge = _badge("accepted", "note" if finding.severity is Severity.NOTE else "")
    else:
        kinds = {Severity.DANGER: "bad", Severity.NOTE: "note"}
        badge = _badge(finding.severity.name.lower(), kinds.get(finding.severity, ""))
    return tag(
        "tr",
        tag("td", badge, class_="n left"),
        tag("td", finding.id, class_="mono id"),
        tag("td", one_line(finding.reason)),
        tag("td", f"line {finding.line}" if finding.line else "", class_="n"),
    )


def _changes(content: ReportContent) -> Markup:
    if content.summary.changes:
        return _card(tag("table", *map(_change, content.summary.changes)))
    nothing = "Nothing: the files stand as they were."
    return _card(nothing if content.delivery else "No patch could be made.")


def _change(change: Change) -> Markup:
    moved = f"{path_text(change.old_path)} → " if change.old_path else ""
    old, new = change.old_mode, change.new_mode
    mode = f", mode {old:o} → {new:o}" if old and new and old != new else ""
    if change.added_lines is None:
        lines = joined("binary")
    else:
        lines = joined(
            tag("span", f"+{change.added_lines}", class_="plus"),
            " ",
            tag("span", f"\u2212{change.deleted_lines}", class_="minus"),
        )
    return tag(
        "tr",
        tag("td", moved, path_text(change.path), class_="mono"),
        tag("td", f"{change.kind}{mode}"),
        tag("td", lines, class_="n"),
    )


def _file(number: int, file: DiffFile) -> Markup:
    lines = tag("div", *(tag("span", it.text, class_=it.kind) for it in file.lines), class_="diff")
    summary = tag("summary", file.path or f"part {number}")
    return tag("details", summary, lines, class_="card file", id=f"part-{number}", open="open")


def _row(row: ReportRow) -> Markup:
    head = joined(tag("span", row.title, class_="title"), tag("span", row.aside, class_="aside"))
    if row.detail:
        head = _folded(head, tag("pre", row.detail))
    return joined(tag("li", head, class_=row.style), "\n")


def _lists(summary: RunSummary) -> Iterator[Markup]:
    refused = [(one_line(item.program), str(item.call)) for item in summary.kernel_refusals]
    if refused:
        head = tag("tr", tag("th", "program"), tag("th", "call"))
        yield tag("h2", "Refused by the kernel")
        yield _table(refused, head, last="n")
    for title, items in (
        ("Left out of the patch", summary.left_out),
        ("Not copied in, or of no use there", summary.left_behind),
    ):
        if items:
            yield tag("h2", title)
            yield _table([(path_text(item.path), one_line(item.reason)) for item in items])


def _table(rows: Sequence[tuple[str, str]], head: str = "", *, last: str = "") -> Markup:
    shown = [
        tag("tr", tag("td", first, class_="mono"), tag("td", second, class_=last))
        for first, second in rows[:_ROWS]
    ]
    if len(rows) > _ROWS:
        shown.append(tag("tr", tag("td", f"and {len(rows) - _ROWS} more", colspan="2")))
    return _card(tag("table", head, *shown))


def _facts(summary: RunSummary, delivery: DeliveredPatch | None) -> Iterator[Markup]:
    used = summary.tokens
    policy = tag("span", f"({one_line(summary.policy_file)})", class_="mono")
    began = summary.started.replace("T", " ").removesuffix("+00:00")
    yield _fact("workspace", one_line(summary.workspace), "mono")
    yield _fact("policy", joined(one_line(summary.policy), " ", policy))
    yield _fact("model", one_line(summary.model), "mono")
    yield _fact("started", f"{began} UTC, {summary.seconds:.1f} s, {summary.turns} turns")
    yield _fact(
        "tokens",
        f"{used.input_tokens} in, {used.output_tokens} out, {used.cache_read_tokens} read from "
        f"cache, {used.cache_write_tokens} written to it",
    )
    if summary.usd is not None:
        of = f" of {summary.usd_allowed:g}" if summary.usd_allowed else ""
        by = f", by {one_line(summary.usd_source)}" if summary.usd_source else ""
        yield _fact("dollars", f"{summary.usd:.4f}{of}{by}")
    if delivery is not None:
        yield from _delivered(delivery)
    seal = asdict(summary.seal) if summary.seal is not None else {}
    for key, value in seal.items():
        if value in ((), None, ""):
            continue
        words = ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
        yield _fact(key.replace("_", " "), one_line(words), "mono")


def _delivered(delivery: DeliveredPatch) -> Iterator[Markup]:
    patch = delivery.patch
    size = f"{len(patch.data)} bytes · sha256 {delivery.sha256}"
    yield _fact("patch", f"{delivery.path.name} · {size}", "mono")
    if patch.index is not None:
        yield _fact("git", one_line(patch.index.note))
    yield _fact("trees", f"{patch.base_tree} + patch = {patch.tree}", "mono")


def _fact(name: str, value: str, kind: str = "") -> Markup:
    return joined(tag("dt", name), tag("dd", value, class_=kind), "\n")
