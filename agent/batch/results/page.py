"""``summary.html``: one self-contained file that shows what a batch came to.

Its script sorts and filters the table that stands in it; without scripts the table is all there.
The content security policy names script and style by their digests, and forbids all else. Whatever
comes from a task, a model or a repository is escaped where it becomes markup
(`agent.review.pages.markup`), and what acts or hides in it is shown as what it is.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from agent.batch.attempt import AttemptResult
from agent.batch.results.plot import curve
from agent.batch.results.progress import costs, done
from agent.batch.results.rows import run_of
from agent.batch.results.verdict import TaskVerdict, verdict
from agent.batch.task import Task
from agent.record.store import REPORT
from agent.review.pages import markup
from agent.review.pages.markup import Markup, joined, tag
from agent.risk.finding import Severity
from agent.untrusted_text import one_line
from policies.errors import duration
from policies.frozen import dataclass

_DETAIL_CHARACTERS = 240
_BEYOND = 1.02
"""A curve goes on a little past its last step, which is seen then."""
_WORDS = {
    TaskVerdict.PASSED: ("good", "finished"),
    TaskVerdict.FAILURE: ("", "failed"),
    TaskVerdict.ERROR: ("bad", "in error"),
    TaskVerdict.NOT_DONE: ("note", "not done"),
}
_VERIFIED = {True: ("0", "yes"), None: ("1", "\u2013"), False: ("2", "no")}
_FINDINGS = {severity.name.lower(): str(severity.value) for severity in Severity}
_HEADS = ("task", "status", "verified", "worst finding", "turns", "dollars", "time", "reports")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSummary:
    """What the page shows."""

    name: str
    began: datetime
    tasks: Sequence[Task]
    rows: Sequence[AttemptResult]
    """Every attempt, with the choice made."""
    choices: Mapping[str, AttemptResult]
    """By task."""

    def verdicts(self) -> Counter[TaskVerdict]:
        return Counter(verdict(self.choices.get(task.id)) for task in self.tasks)


def pieces(summary: BatchSummary) -> Iterator[bytes]:
    """The page, piece by piece."""
    folder = Path(__file__).parent
    style = Path(markup.__file__).with_name("report.css").read_text("utf-8")
    style += (folder / "summary.css").read_text("utf-8")
    script = (folder / "summary.js").read_text("utf-8")
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        # The digests and quotes of a policy are ours: escaped, a browser reads the same.
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"Moonpool batch {one_line(summary.name)}"),
        tag("style", Markup(style)),
    )
    yield f'<!doctype html>\n<html lang="en">\n{head}\n<body><main>\n'.encode()
    for part in _above(summary):
        yield f"{part}\n".encode()
    for text in _table(summary):
        yield text.encode("utf-8", "replace")
    footer = "Made by Moonpool on this machine; nothing in this page is loaded from anywhere else."
    ending = joined(tag("footer", footer), "\n", tag("script", Markup(script)))
    yield f"{ending}\n</main></body>\n</html>\n".encode()


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _above(summary: BatchSummary) -> Iterator[Markup]:
    verdicts = summary.verdicts()
    total, passed = len(summary.tasks), verdicts[TaskVerdict.PASSED]
    badges = [
        tag("span", f"{verdicts[kind]} {words}", class_=f"badge {style}".rstrip())
        for kind, (style, words) in _WORDS.items()
        if verdicts[kind]
    ]
    yield tag(
        "header",
        tag("p", f"moonpool batch · {one_line(summary.name)}", class_="run"),
        tag("h1", f"{passed} of {total} tasks finished"),
        tag("div", *badges, class_="badges"),
    )
    yield from _totals(summary)
    yield from _plots(summary)
    yield from _kinds(summary)


def _totals(summary: BatchSummary) -> Iterator[Markup]:
    rows = summary.rows
    chosen = summary.choices.values()
    usd = [row.usd for row in rows if row.usd is not None]
    checked = [row.verified for row in chosen if row.verified is not None]
    tiles = {
        "attempts": f"{len(rows):,}",
        "verified": f"{sum(checked):,} of {len(checked):,}" if checked else "none asked",
        "dollars": f"{sum(usd):,.2f}" if usd else "not known",
        "tokens in": f"{sum(row.input_tokens for row in rows):,}",
        "tokens out": f"{sum(row.output_tokens for row in rows):,}",
        "time of all runs": duration(sum(row.seconds for row in rows)),
    }
    shown = [tag("div", tag("dt", name), tag("dd", value)) for name, value in tiles.items()]
    yield tag("dl", *shown, class_="tiles")


def _plots(summary: BatchSummary) -> Iterator[Markup]:
    finished, spent = done(summary.rows, summary.began), costs(summary.rows, summary.began)
    if not finished:
        return
    until = max(at for at, _ in (*finished, *spent)) or 1.0
    time = duration(until)
    figures = [
        curve("Tasks done", finished, until_s=until * _BEYOND, shown=(f"{len(finished):,}", time)),
    ]
    if spent:
        sum_usd = f"{spent[-1][1]:,.2f}"
        figures.append(curve("Dollars", spent, until_s=until * _BEYOND, shown=(sum_usd, time)))
    yield tag("h2", "Over time")
    yield tag("div", *figures, class_="plots")


def _kinds(summary: BatchSummary) -> Iterator[Markup]:
    failed = Counter(
        (str(row.error_kind or "agent"), row.outcome)
        for row in summary.choices.values()
        if verdict(row) in {TaskVerdict.FAILURE, TaskVerdict.ERROR}
    )
    if not failed:
        return
    head = tag("tr", tag("th", "whose"), tag("th", "how it ended"), tag("th", "tasks"))
    counted = [
        tag(
            "tr", tag("td", kind), tag("td", one_line(outcome)), tag("td", f"{count:,}", class_="n")
        )
        for (kind, outcome), count in sorted(failed.items(), key=lambda item: (-item[1], item[0]))
    ]
    yield tag("h2", "Failures by kind")
    yield tag("div", tag("table", head, *counted, class_="kinds"), class_="card")


def _table(summary: BatchSummary) -> Iterator[str]:
    options = [tag("option", "every status", value="all")]
    options += [tag("option", words, value=kind) for kind, (_, words) in _WORDS.items()]
    yield tag("h2", "Tasks", id="heading") + "\n"
    yield tag(
        "div",
        tag(
            "input",
            id="words",
            type="search",
            aria_label="words that a task's row must have",
            placeholder="Filter by words",
            autocomplete="off",
        ),
        tag("select", *options, id="status", aria_label="status"),
        tag("p", "", id="count", role="status"),
        id="filter",
        hidden="hidden",
    )
    heads = "".join(tag("th", name, scope="col") for name in _HEADS)
    yield '\n<div class="card"><table id="tasks" aria-labelledby="heading">'
    yield f"<thead><tr>{heads}</tr></thead>\n<tbody>\n"
    attempts: dict[str, list[AttemptResult]] = {}
    for row in summary.rows:
        attempts.setdefault(row.task_id, []).append(row)
    for task in summary.tasks:
        yield _row(task, summary.choices.get(task.id), attempts.get(task.id, ())) + "\n"
    yield "</tbody></table>"
    yield tag("button", "Show more", id="more", type="button", hidden="hidden")
    yield "</div>\n"


def _row(task: Task, row: AttemptResult | None, attempts: Sequence[AttemptResult]) -> Markup:
    ended = verdict(row)
    style, words = _WORDS[ended]
    if row is None:
        badge = tag("span", words, class_=f"badge {style}")
        cells = [tag("td", one_line(task.id)), tag("td", badge), *(tag("td"),) * 6]
        return tag("tr", *cells, data_v=ended)
    detail = "" if ended is TaskVerdict.PASSED else one_line(row.detail, _DETAIL_CHARACTERS)
    why = f"attempt {row.attempt} of {len(attempts)}: {row.reason}" if len(attempts) > 1 else ""
    rank, verified = _VERIFIED[row.verified]
    if row.reward is not None:
        verified = f"{verified} ({row.reward:g})"
    finding = row.worst_finding or ""
    return tag(
        "tr",
        tag(
            "td",
            one_line(task.id),
            *(tag("small", text) for text in (detail, one_line(why)) if text),
            tag("small", one_line(row.note), class_="note") if row.note else "",
        ),
        tag("td", tag("span", one_line(row.outcome), class_=f"badge {style}".rstrip())),
        tag("td", verified, data_s=rank),
        tag("td", one_line(finding), data_s=_FINDINGS.get(finding, "0" if not finding else "9")),
        tag("td", str(row.turns)),
        tag("td", "" if row.usd is None else f"{row.usd:.4f}"),
        tag("td", duration(row.seconds), data_s=f"{row.seconds:.3f}"),
        tag("td", *(_link(each) for each in attempts)),
        data_v=ended,
    )


def _link(row: AttemptResult) -> Markup:
    """To the report of an attempt; a name that is no run's leads nowhere."""
    run = run_of(row, Path())
    if run is None:
        return joined()
    label = f"report of {one_line(row.task_id)}, attempt {row.attempt}"
    shown = tag("b", "report") if row.chosen else f"#{row.attempt}"
    return tag("a", shown, href=(run / REPORT).as_posix(), aria_label=label)
