"""What a run came to, on the terminal: at its end, and whenever ``moonpool show`` is asked.

Works on the run's summary as it stands on disk, so that both show the same. A second opinion on the
patch is part of it.
"""

import hashlib
from collections.abc import Iterator, Sequence

from agent.record import outcome as outcomes
from agent.record.events.kinds import served_in_words
from agent.record.outcome import Crashed, Finished, ModelFailed, NotVerified, SandboxFailed
from agent.record.run_log import LOG
from agent.record.runs import RecordedRun
from agent.record.store import APPLIED, REPORT
from agent.record.summary import RunSummary
from agent.risk.finding import NEVER_ACCEPTED, NOT_APPROVED, Finding, Severity
from agent.risk.opinion import Concern, NoOpinion, OpinionVerdict, SecondOpinion, in_words
from agent.terminal.screen import Line, Screen
from agent.untrusted_text import one_line, path_text, shortened, visible
from agent.verification import Failed, NotAsked, Verified
from agent.verification import in_words as verification_words
from policies.errors import listed
from sandbox.patch.values import ChangeKind, LeftOut
from sandbox.workspace.source import PREFIX as IMAGE

_CONCERNS_SHOWN = 10
_REASON_WIDTH = 600
_CONCERN_WIDTH = 400
_OPINION_STYLES = {
    OpinionVerdict.APPROVE: "green",
    OpinionVerdict.REJECT: "red",
    OpinionVerdict.UNSURE: "yellow",
}


def opinion_lines(opinion: SecondOpinion | None) -> Iterator[tuple[str, str]]:
    """Lines and styles; none where no opinion was asked for."""
    if opinion is None:
        return
    if isinstance(opinion, NoOpinion):
        yield in_words(opinion), "yellow"
        return
    reason = one_line(opinion.reason, _REASON_WIDTH)
    yield f"{in_words(opinion)}: {reason}", _OPINION_STYLES[opinion.verdict]
    for concern in opinion.concerns[:_CONCERNS_SHOWN]:
        yield f"  {concern_place(concern)}{one_line(concern.text, _CONCERN_WIDTH)}", "yellow"
    if len(opinion.concerns) > _CONCERNS_SHOWN:
        yield f"  and {len(opinion.concerns) - _CONCERNS_SHOWN} more, see the report", "dim"
    for missed in opinion.missed[:_CONCERNS_SHOWN]:
        yield f"  missed of the task: {one_line(missed, _CONCERN_WIDTH)}", "yellow"
    if opinion.unshown:
        yield f"  it had to look up {one_line(opinion.unshown, _CONCERN_WIDTH)}", "dim"


def concern_place(concern: Concern) -> str:
    """Such as ``a.py:3: ``; empty for the patch as a whole."""
    if not concern.path:
        return ""
    line = f":{concern.line}" if concern.line is not None else ""
    return f"{shortened(path_text(concern.path))}{line}: "


_BAR = 20
_FILES_SHOWN = 40
_LEFT_OUT_NAMED = 3
_PATH_WIDTH = 60
_REFUSALS_NAMED = 10
_CALLS_NAMED = 8
_HANGING = "    "
_FINDINGS_SHOWN = 8
_OUTPUT_SHOWN = 8
_OUTPUT_WIDTH = 400
_WITHOUT_CHANGES = {
    outcomes.name_of(Finished): "nothing: there is no change to apply",
    outcomes.name_of(SandboxFailed): "moonpool doctor, unless it is said above what to do",
    outcomes.name_of(Crashed): "please report it with the log: it is a defect of Moonpool",
    outcomes.name_of(
        ModelFailed
    ): "moonpool run TASK again, when what is said above is over or mended",
}
"""What is to be done next, by outcome, where there is no patch to speak of."""
_STYLES = {Severity.DANGER: "red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}


def print_result(
    screen: Screen,
    run: RecordedRun,
    *,
    findings_limit: int = _FINDINGS_SHOWN,
    output_lines: int = _OUTPUT_SHOWN,
) -> None:
    """Outcome, findings, diffstat (the riskiest first), verification, and what to type next.

    Args:
        findings_limit: so many are shown; those that refuse always.
        output_lines: so many of the last that a failed check printed are shown.
    """
    summary = run.summary

    def say(text: str, style: str = "default") -> None:
        # A run's folder may have any name, and stands in what is to be typed next.
        screen.print(Line(visible(text), style))

    for text, style in _first(summary):
        say(text, style)
    head = Line(summary.outcome, "bold green" if run.is_finished else "bold yellow")
    screen.print(head.append(_effort(summary), "dim"))
    print_risk(screen, summary, findings_limit=findings_limit)
    # What a verification came to has its own line further down, the gate's findings stand above.
    told = run.is_finished or run.is_refused or summary.outcome == outcomes.name_of(NotVerified)
    if summary.detail and not told:
        say(summary.detail.replace("\n", "\n  "), "yellow")
    print_diffstat(screen, summary)
    if summary.tree is not None:
        say(f"proved: baseline + patch = tree {summary.tree[:12]}", "green")
    for line in _kernel_refusals(summary):
        say(line, "yellow")
    checked = summary.verification
    if not isinstance(checked, NotAsked):
        style = "green" if isinstance(checked, Verified) else "red"
        say(one_line(verification_words(checked)), style)
    if isinstance(checked, Failed):
        print_indented(screen, checked.output, most=-output_lines, width=_OUTPUT_WIDTH)
    for text, style in opinion_lines(summary.opinion):
        screen.print_hanging(Line(text, style), margin=_HANGING)
    if summary.container_left is not None:
        left = summary.container_left[:12]
        say(f"container {left} still stands, with the agent's work in it", "yellow")
    for line in _places(run):
        say(line)
    if run.summary.git_note is not None:
        screen.print_hanging(
            Line(f"git     {visible(run.summary.git_note)}", "yellow"), margin=_HANGING
        )
    say(f"next    {_next(run)}", "bold")


def print_indented(screen: Screen, text: str, *, most: int, width: int = 0) -> None:
    """So many lines of a text: the first, or where the number is negative the last.

    Args:
        width: so many characters of each; 0: all.
    """
    lines = visible(text.strip()).splitlines()
    shown = lines[:most] if most > 0 else lines[most:]
    rest = len(lines) - len(shown)
    if rest and most < 0:
        screen.print(Line(f"  … {rest} lines before that", "dim"))
    for line in shown:
        screen.print_hanging(Line(f"  {one_line(line, width)}"), margin="  ")
    if rest and most > 0:
        screen.print(Line(f"  … {rest} lines more", "dim"))


def _first(summary: RunSummary) -> Iterator[tuple[str, str]]:
    """What nobody may overlook: where the seal was less than it is elsewhere."""
    if summary.kernel_enforced is False:
        yield "the kernel did NOT enforce the policy in this run", "bold red"
    if served := served_in_words(summary.server_tools, could="could"):
        yield served, "yellow"


def _places(run: RecordedRun) -> Iterator[str]:
    """Where what came of it lies."""
    if run.summary.patch is not None:
        yield f"patch   {visible(run.summary.patch)}"
    if run.summary.index_patch is not None:
        yield f"        {visible(run.summary.index_patch)}"
    for label, name in (("report", REPORT), ("log", LOG)):
        if (run.directory / name).exists():
            yield f"{label:<8}{run.directory / name}"


def print_risk(
    screen: Screen, summary: RunSummary, *, findings_limit: int = _FINDINGS_SHOWN
) -> None:
    """What the export gate found, the worst first."""
    for text, style in _risk(summary, findings_limit):
        screen.print_hanging(Line(text, style), margin=_HANGING)


def print_diffstat(screen: Screen, summary: RunSummary) -> None:
    """The changed files, and what is left out of the patch."""
    for row in _diffstat(summary):
        screen.print_hanging(row, margin=_HANGING)


def _risk(summary: RunSummary, limit: int) -> Iterator[tuple[str, str]]:
    """Lines and styles: how many findings of which weight, the riskiest file, and what they are."""
    findings = summary.findings
    accepted = sorted({one_line(finding.id) for finding in findings if finding.accepted})
    if accepted:
        yield f"let pass by --accept-risk: {', '.join(accepted)}", "yellow"
    if not findings:
        return
    counts = []
    for severity in reversed(Severity):
        count = sum(finding.severity is severity for finding in findings)
        if count:
            word = severity.name.lower()
            counts.append(f"{count} {word}{'s' if count > 1 else ''}")
    refusing = [finding for finding in findings if finding.refuses]
    verb = "refuses the patch" if refusing else "found"
    head = f"export gate {verb}: {', '.join(counts)}; riskiest: {_place(findings[0])}"
    yield head, "bold red" if refusing else _STYLES[findings[0].severity]
    shown = max(limit, len(refusing))
    for finding in findings[:shown]:
        what = f"{_weight(finding)} {one_line(finding.id)}"
        words = f"  {what}: {_place(finding)}: {one_line(finding.reason)}"
        yield words, "bold red" if finding.refuses else _STYLES[finding.severity]
    if len(findings) > shown:
        yield f"  and {len(findings) - shown} more: moonpool show {summary.run_id}", "dim"
    names = {one_line(finding.id) for finding in refusing}
    for name in sorted(names & NEVER_ACCEPTED.keys()):
        yield f"  {name} can't be let pass: {NEVER_ACCEPTED[name]}", "dim"
    if names and not names & NEVER_ACCEPTED.keys():
        words = " ".join(f"--accept-risk {name}" for name in sorted(names))
        if names != {NOT_APPROVED}:
            yield f"  without what is refused: moonpool apply -i {summary.run_id}", "dim"
        yield f"  to let it pass: moonpool apply {summary.run_id} {words} --because TEXT", "dim"


def _place(finding: Finding) -> str:
    where = _short(finding.path) or "the patch"
    return where if finding.line is None else f"{where}:{finding.line}"


def _weight(finding: Finding) -> str:
    if finding.refuses:
        return "REFUSED"
    return "accepted" if finding.accepted else finding.severity.name.lower()


def _effort(summary: RunSummary) -> str:
    used = summary.tokens
    # A recorded conversation uses none.
    some = bool(used.all_input or used.output_tokens)
    tokens = f"{used.all_input} tokens in, {used.output_tokens} out, " if some else ""
    if used.uncounted_replies:
        unsaid = used.uncounted_replies
        tokens += f"estimated for {unsaid} answers that the service did not count, "
    cost = ""
    if summary.usd is not None and some:
        source = one_line(summary.usd_source or "", 200)
        cost = f", ${summary.usd:.4f}" + (f" (by {source})" if source else "")
    return f"  {summary.turns} turns, {tokens}{summary.seconds:.1f} s{cost}"


def _diffstat(summary: RunSummary) -> list[Line]:
    changes, left_out = summary.changes, summary.left_out
    if not changes:
        words = "nothing changed" if not left_out else "nothing that a patch can carry changed"
        rows = [Line(words, "dim")] if summary.patch is not None else []
        return rows + _left_out(left_out)
    width = min(_PATH_WIDTH, max(len(_short(change.path)) for change in changes))
    rows = []
    for change in changes[:_FILES_SHOWN]:
        row = Line(f"  {_short(change.path):<{width}}  ")
        added, deleted = change.added_lines, change.deleted_lines
        if added is not None and deleted is not None:
            row.append(f"{added + deleted:>5} ", "dim")
            plus, minus = _bars(added, deleted)
            row.append("+" * plus, "green").append("-" * minus, "red")
            if change.kind is not ChangeKind.MODIFIED:
                row.append(f"  {change.kind}", "dim")
        else:
            row.append(f"{change.kind}, binary", "dim")
        rows.append(row)
    if len(changes) > _FILES_SHOWN:
        rows.append(Line(f"  and {len(changes) - _FILES_SHOWN} more", "dim"))
    return rows + _left_out(left_out)


def _left_out(items: Sequence[LeftOut]) -> list[Line]:
    """What changed and is not in the patch. One may be what the agent was to make: it is named."""
    if len(items) > _LEFT_OUT_NAMED:
        return [Line(f"  {len(items)} paths left out of the patch, see the report", "yellow")]
    return [
        Line(f"  left out of the patch: {_short(item.path)} {one_line(item.reason)}", "yellow")
        for item in items
    ]


def _short(path: bytes) -> str:
    return shortened(path_text(path))


def _kernel_refusals(summary: RunSummary) -> list[str]:
    """Programs that the kernel refused, each with the calls under which it did."""
    calls: dict[str, list[int]] = {}
    for refusal in summary.kernel_refusals:
        numbers = calls.setdefault(one_line(refusal.program, _PATH_WIDTH * 2), [])
        if refusal.call not in numbers:
            numbers.append(refusal.call)
    lines = [
        f"refused by the kernel: {program} (call {listed(numbers, _CALLS_NAMED)})"
        for program, numbers in list(calls.items())[:_REFUSALS_NAMED]
    ]
    if len(calls) > _REFUSALS_NAMED:
        rest = len(calls) - _REFUSALS_NAMED
        lines.append(f"refused by the kernel: {rest} programs more, see the report")
    return lines


def _next(run: RecordedRun) -> str:
    if run.summary.container_left is not None:
        return f"moonpool resume {run.id} --export-only"
    if not run.had_container:
        return "moonpool run TASK, again: nothing was done"
    if run.is_running or (run.is_cut and run.summary.patch is None):
        # Where a process works on it, this says which.
        return f"moonpool resume {run.id}"
    if run.is_refused:
        return f"moonpool show {run.id} --patch"
    return _next_with_patch(run)


def _next_with_patch(run: RecordedRun) -> str:
    applied = b""
    if (run.directory / APPLIED).exists():
        from agent.record.applied_patch import AppliedPatch  # noqa: PLC0415 - of few chats

        applied = AppliedPatch.of(run.directory).patch
    if applied and hashlib.sha256(applied).hexdigest() == run.summary.patch_sha256:
        return "nothing: the workspace has all of it, by /apply"
    if place := run.place:
        return f"nothing: the patch was applied to {one_line(place, 300)}"
    if run.summary.changes or applied:
        onto = " -w DIR" if run.summary.workspace.startswith(IMAGE) else ""
        return f"moonpool apply {run.id} --check{onto}"
    return _WITHOUT_CHANGES.get(
        run.summary.outcome, "moonpool run TASK, in other words or with wider limits"
    )


def _bars(added: int, deleted: int) -> tuple[int, int]:
    """Lengths of the two parts of a diffstat's bar; what there is shows at least as one mark."""
    total = added + deleted
    if total <= _BAR:
        return added, deleted
    plus = max(1, added * _BAR // total) if added else 0
    minus = max(1, deleted * _BAR // total) if deleted else 0
    return plus, minus
