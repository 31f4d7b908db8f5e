"""The first page of a run: what was asked, what came of it, what is risky in it, what it cost.

Owns which words stand where. What a model or a repository had a hand in is made visible here;
refuses to know events and files.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import PurePath

from agent import verification
from agent.record import outcome as outcomes
from agent.record.events.kinds import served_in_words
from agent.record.outcome import ExportRefused, Finished
from agent.record.summary import RUNNING, RunSummary
from agent.review.pages.diff import line_counts, path_words
from agent.review.pages.findings import (
    badge,
    finding_rows,
    opinion_badge,
    opinion_card,
    verified_badge,
)
from agent.review.pages.markup import Markup, joined, linked, rendered, tag
from agent.risk.finding import findings_by_path, risk_by_path
from agent.untrusted_text import one_line, path_text, visible
from agent.verification import NotAsked, Verified
from policies.frozen import dataclass
from sandbox.patch.values import Change, LeftOut, LeftOutKind

_ROWS = 500
"""Most rows of one table; the rest is counted."""
_OPEN_ROWS = 12
"""A list that is longer is folded."""
_ENDED_BADLY = (3, 4, 5)
"""Exit codes."""
_MATTERS = frozenset({LeftOutKind.TOO_LARGE, LeftOutKind.COLLISION, LeftOutKind.OTHER})
"""Of what was left out: what a reviewer may miss in the patch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All that the page shows."""

    summary: RunSummary
    last_words: str
    """What the agent said last."""
    hide: Callable[[str], str]
    """Blots out what must not be shown."""
    part_address: Callable[[bytes, int | None], str]
    """Where a path of the patch is shown, at a line of the new file; empty where it is not."""
    alarms: Sequence[str] = ()
    """What nobody may overlook, beside what the summary says."""
    call_address: Callable[[int], str] = lambda _number: ""
    """Where a call is shown."""


def overview_parts(content: Overview) -> Iterator[Markup]:
    """The page, part by part."""
    yield from alarms(content.summary, content.alarms)
    yield header(content.summary, content.hide)
    if content.last_words:
        yield tag("h2", "What the agent says")
        yield _card(rendered(content.hide(content.last_words)), class_="card said")
    yield from _risks(content)
    yield from _verification(content)
    yield from opinion_card(content.summary.opinion, content.hide, content.part_address)
    yield tag("h2", "What changed")
    yield _changes(content)
    yield from _lists(content)
    yield tag("h2", "The run")
    seal = tag("dl", *_seal(content.summary))
    yield _card(tag("dl", *_facts(content.summary)), _folded("how it was sealed", seal))


def alarms(summary: RunSummary, others: Sequence[str] = ()) -> Iterator[Markup]:
    """What stands on top of every page of a run, in red."""
    said = list(others)
    if summary.kernel_enforced is False:
        words = "what it allows was only checked, not held."
        where = "The kernel did not enforce the policy in this run (--kernel-policy=prefer)"
        said.append(f"{where}: {words}")
    if served := served_in_words(summary.server_tools, could="could"):
        said.append(f"{served}.")
    yield from (tag("p", visible(words), class_="alarm") for words in said)


def header(summary: RunSummary, hide: Callable[[str], str]) -> Markup:
    bad = "bad" if summary.exit_code in _ENDED_BADLY else ""
    refused = summary.outcome == outcomes.name_of(ExportRefused)
    good = summary.outcome == outcomes.name_of(Finished)
    running = summary.outcome == RUNNING
    badges = [badge(summary.outcome, "good" if good else "note" if running else bad)]
    if summary.patch is None:
        badges += [] if running else [badge("no patch", "bad")]
    elif not refused:
        badges.append(badge("patch proved" if summary.changes else "nothing changed", "good"))
    if not isinstance(summary.verification, NotAsked):
        badges.append(verified_badge(isinstance(summary.verification, Verified)))
    badges += opinion_badge(summary.opinion)
    # How a run finished, the agent said in its last words.
    told = summary.detail and not refused and not good
    return tag(
        "header",
        tag("p", f"moonpool · {summary.run_id}", class_="run"),
        tag("h1", hide(visible(summary.task))),
        tag("div", *badges, *_effort(summary), class_="badges"),
        _card(tag("p", hide(visible(summary.detail)), class_="words")) if told else "",
    )


def _effort(summary: RunSummary) -> Iterator[Markup]:
    words = [f"{len(summary.changes)} {'file' if len(summary.changes) == 1 else 'files'}"]
    if summary.usd is not None:
        words.append(f"${summary.usd:.4f}")
    words += [f"{summary.turns} turns", f"{summary.seconds:.0f} s", one_line(summary.model, 40)]
    yield tag("span", " · ".join(words), class_="soft")


def _card(*content: str, class_: str = "card") -> Markup:
    return tag("div", *content, class_=class_)


def _folded(summary: str, content: Markup, *, is_open: bool = False) -> Markup:
    return tag("details", tag("summary", summary), content, open="open" if is_open else "")


def _risks(content: Overview) -> Iterator[Markup]:
    findings = content.summary.findings
    if not findings:
        return
    yield tag("h2", "Risk: what the export gate found")
    accepted = content.summary.accepted_risks
    if accepted:
        names = tag("span", ", ".join(sorted(accepted)), class_="mono")
        yield tag("p", "The operator lets pass in this run: ", names, class_="soft")
    by_path = findings_by_path(findings)
    risk = risk_by_path(findings)
    for path in sorted(by_path, key=lambda path: (*(-number for number in risk[path]), path)):
        rows = by_path[path]
        worst = rows[0]
        kind = "danger" if worst.refuses else worst.severity.name.lower()
        name = path_text(path) or "the patch as a whole"
        yield tag(
            "div",
            tag("h3", linked(name, content.part_address(path, worst.line)), class_="mono"),
            tag("table", *finding_rows(rows)),
            class_=f"card risk {kind}",
        )


def _verification(content: Overview) -> Iterator[Markup]:
    result = content.summary.verification
    if isinstance(result, NotAsked):
        return
    output = content.hide(visible(getattr(result, "output", "")))
    failed = not isinstance(result, Verified)
    yield tag("h2", "Verification")
    yield _card(
        tag("p", visible(verification.in_words(result)), class_="words"),
        _folded("its output", tag("pre", output, tabindex="0"), is_open=failed) if output else "",
    )


def _changes(content: Overview) -> Markup:
    changes = content.summary.changes
    if not changes:
        nothing = "Nothing: the files stand as they were."
        return _card(nothing if content.summary.patch else "No patch could be made.")
    rows = [_change(change, content) for change in changes]
    shown = [tag("table", *rows[:_OPEN_ROWS], class_="changes")]
    if len(rows) > _OPEN_ROWS:
        rest = tag("table", *rows[_OPEN_ROWS:], class_="changes")
        shown.append(_folded(f"and {len(rows) - _OPEN_ROWS} more files", rest))
    return _card(*shown)


def _change(change: Change, content: Overview) -> Markup:
    name = joined(*path_words(change))
    old, new = change.old_mode, change.new_mode
    mode = f", mode {old:o} → {new:o}" if old and new and old != new else ""
    return tag(
        "tr",
        tag("td", linked(name, content.part_address(change.path, None)), class_="mono"),
        tag("td", f"{change.kind}{mode}"),
        tag("td", *line_counts(change), class_="n"),
    )


def _lists(content: Overview) -> Iterator[Markup]:
    summary = content.summary
    if summary.kernel_refusals:
        yield tag("h2", "Refused by the kernel")
        rows = [
            (one_line(item.program), linked(f"call {item.call}", content.call_address(item.call)))
            for item in summary.kernel_refusals
        ]
        yield _list(rows, f"{len(rows)} programs", is_open=len(rows) <= _OPEN_ROWS)
    for title, items in (
        ("Left out of the patch", summary.left_out),
        ("Not copied in, or of no use there", summary.left_behind),
    ):
        if items:
            yield tag("h2", title)
            yield from _left(items)


def _left(items: Sequence[LeftOut]) -> Iterator[Markup]:
    """What may matter is there to read; the rest is folded."""
    matters = [item for item in items if item.kind in _MATTERS]
    others = [item for item in items if item.kind not in _MATTERS]
    if matters:
        yield _list([*map(_left_row, matters)], "what may be missed", is_open=True)
    if others:
        yield _list([*map(_left_row, others)], f"{len(others)} paths, as the rules say")


def _left_row(item: LeftOut) -> tuple[str, str]:
    return path_text(item.path), one_line(item.reason)


def _list(rows: Sequence[tuple[str, str]], words: str, *, is_open: bool = False) -> Markup:
    shown = [
        tag("tr", tag("td", first, class_="mono"), tag("td", second))
        for first, second in rows[:_ROWS]
    ]
    if len(rows) > _ROWS:
        shown.append(tag("tr", tag("td", f"and {len(rows) - _ROWS} more", colspan="2")))
    return _card(_folded(words, tag("table", *shown), is_open=is_open))


def _facts(summary: RunSummary) -> Iterator[Markup]:
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
    if summary.patch is not None:
        size = f"{summary.patch_bytes} bytes · sha256 {summary.patch_sha256}"
        yield _fact("patch", visible(f"{PurePath(summary.patch).name} · {size}"), "mono")
        if summary.git_note is not None:
            yield _fact("git", one_line(summary.git_note))
        yield _fact("trees", f"{summary.base_tree} + patch = {summary.tree}", "mono")


def _seal(summary: RunSummary) -> Iterator[Markup]:
    for key, value in (asdict(summary.seal) if summary.seal is not None else {}).items():
        if value not in ((), None, ""):
            words = ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
            yield _fact(key.replace("_", " "), one_line(words), "mono")


def _fact(name: str, value: str, kind: str = "") -> Markup:
    return joined(tag("dt", name), tag("dd", value, class_=kind), "\n")
