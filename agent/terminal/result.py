"""What a run came to, on the terminal: at its end, and whenever ``moonpool show`` is asked.

Works on the run's summary as it stands on disk, so that both show the same.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from agent.observe.run_log import LOG
from agent.record.applied_patch import AppliedPatch
from agent.record.events.wording import served_in_words
from agent.record.runs import RUNNING, RecordedRun
from agent.record.store import REPORT
from agent.risk.finding import Severity
from agent.risk.kinds import NEVER_ACCEPTED
from agent.terminal.screen import Line, Screen
from agent.untrusted_text import one_line, visible
from policies.policy import SERVER_TOOLS

_BAR = 20
_FILES_SHOWN = 40
_LEFT_OUT_NAMED = 3
_PATH_WIDTH = 60
_REFUSALS_NAMED = 10
_CALLS_NAMED = 8
_HANGING = "    "
_FINDINGS_SHOWN = 8
_STYLES = {Severity.DANGER: "red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}


def print_result(
    screen: Screen, run: RecordedRun, *, findings_limit: int = _FINDINGS_SHOWN
) -> None:
    """Outcome, findings, diffstat (the riskiest first), verification, and what to type next.

    Args:
        findings_limit: so many are shown; those that refuse always.
    """

    def say(text: str, style: str = "default") -> None:
        screen.print(Line(text, style))

    for text, style in _first(run):
        say(text, style)
    outcome = run.text("outcome")
    good = outcome == "finished"
    head = Line(outcome, "bold green" if good else "bold yellow").append(_effort(run), "dim")
    screen.print(head)
    print_risk(screen, run, findings_limit=findings_limit)
    # What a verification came to has its own line further down, the gate's findings stand above.
    if outcome not in {"finished", "not verified", "export refused"} and run.text("detail"):
        say(visible(run.text("detail")), "yellow")
    print_diffstat(screen, run)
    if run.text("tree"):
        say(f"proved: baseline + patch = tree {run.text('tree')[:12]}", "green")
    for line in _kernel_refusals(run):
        say(line, "yellow")
    verified = _verification(run)
    if verified is not None:
        say(verified[0], verified[1])
    if run.text("container_left"):
        left = run.text("container_left")[:12]
        say(f"container {left} still stands, with the agent's work in it", "yellow")
    for line in _places(run):
        say(line)
    say(f"next    {_next(run)}", "bold")


def _first(run: RecordedRun) -> Iterator[tuple[str, str]]:
    """What nobody may overlook: where the seal was less than it is elsewhere."""
    if run.summary.get("kernel_enforced") is False:
        yield "the kernel did NOT enforce the policy in this run", "bold red"
    server_side = run.summary.get("server_tools")
    known = [name for name in SERVER_TOOLS if isinstance(server_side, list) and name in server_side]
    if known:
        yield served_in_words(known, could="could"), "yellow"


def _places(run: RecordedRun) -> Iterator[str]:
    """Where what came of it lies."""
    if run.text("patch"):
        yield f"patch   {run.text('patch')}"
    for label, name in (("report", REPORT), ("log", LOG)):
        if (run.directory / name).exists():
            yield f"{label:<8}{run.directory / name}"


def print_risk(screen: Screen, run: RecordedRun, *, findings_limit: int = _FINDINGS_SHOWN) -> None:
    """What the export gate found, the worst first."""
    for text, style in _risk(run, findings_limit):
        screen.print_hanging(Line(text, style), margin=_HANGING)


def print_diffstat(screen: Screen, run: RecordedRun) -> None:
    """The changed files, and what is left out of the patch."""
    for row in _diffstat(run):
        screen.print_hanging(row, margin=_HANGING)


def _risk(run: RecordedRun, limit: int) -> Iterator[tuple[str, str]]:
    """Lines and styles: how many findings of which weight, the riskiest file, and what they are."""
    findings = run.rows("findings")
    accepted = sorted({field(row, "id") for row in findings if row.get("accepted")})
    if accepted:
        yield f"let pass by --accept-risk: {', '.join(accepted)}", "yellow"
    if not findings:
        return
    counts = []
    for severity in reversed(Severity):
        count = sum(row.get("severity") == severity for row in findings)
        if count:
            word = severity.name.lower()
            counts.append(f"{count} {word}{'s' if count > 1 else ''}")
    refusing = [row for row in findings if row.get("refuses")]
    verb = "refuses the patch" if refusing else "found"
    head = f"export gate {verb}: {', '.join(counts)}; riskiest: {_place(findings[0])}"
    yield head, "bold red" if refusing else _style(findings[0])
    shown = max(limit, len(refusing))
    for row in findings[:shown]:
        words = f"  {_weight(row)} {field(row, 'id')}: {_place(row)}: {field(row, 'reason')}"
        yield words, "bold red" if row.get("refuses") else _style(row)
    if len(findings) > shown:
        yield f"  and {len(findings) - shown} more: moonpool show {run.id}", "dim"
    names = {field(row, "id") for row in refusing}
    for name in sorted(names & NEVER_ACCEPTED.keys()):
        yield f"  {name} can't be let pass: {NEVER_ACCEPTED[name]}", "dim"
    if names and not names & NEVER_ACCEPTED.keys():
        words = " ".join(f"--accept-risk {name}" for name in sorted(names))
        yield f"  to let these pass, run it again with {words}", "dim"


def _place(finding: Mapping[str, object]) -> str:
    line = finding.get("line")
    where = field(finding, "path") or "the patch"
    return f"{where}:{line}" if isinstance(line, int) else where


def _weight(finding: Mapping[str, object]) -> str:
    if finding.get("refuses"):
        return "REFUSED"
    if finding.get("accepted"):
        return "accepted"
    severity = _severity(finding)
    return severity.name.lower() if severity else "finding"


def _style(finding: Mapping[str, object]) -> str:
    return _STYLES[_severity(finding) or Severity.WARNING]


def _severity(finding: Mapping[str, object]) -> Severity | None:
    return next((one for one in Severity if one == finding.get("severity")), None)


def _effort(run: RecordedRun) -> str:
    tokens = run.summary.get("tokens")
    if not isinstance(tokens, Mapping):
        return ""
    count = {key: value for key, value in tokens.items() if isinstance(value, int)}
    read = ("input_tokens", "cache_read_tokens", "cache_write_tokens")
    taken = sum(count.get(key, 0) for key in read)
    given = count.get("output_tokens", 0)
    unsaid = count.get("uncounted_replies", 0)
    # A recorded conversation uses none.
    tokens_used = f"{taken} tokens in, {given} out, " if taken or given else ""
    if unsaid:
        tokens_used += f"estimated for {unsaid} answers that the service did not count, "
    usd = run.summary.get("usd")
    source = one_line(run.text("usd_source"), 200)
    paid = isinstance(usd, int | float) and (taken or given)
    cost = f", ${usd:.4f}" + (f" (by {source})" if source else "") if paid else ""
    seconds = f"{run.number('seconds'):.1f} s"
    return f"  {run.number('turns'):.0f} turns, {tokens_used}{seconds}{cost}"


def _diffstat(run: RecordedRun) -> list[Line]:
    changes = run.rows("changes")
    left_out = run.rows("left_out")
    if not changes:
        words = "nothing changed" if not left_out else "nothing that a patch can carry changed"
        rows = [Line(words, "dim")] if run.text("patch") else []
        return rows + _left_out(left_out)
    width = min(_PATH_WIDTH, max(len(field(change, "path")) for change in changes))
    rows = []
    for change in changes[:_FILES_SHOWN]:
        row = Line(f"  {field(change, 'path'):<{width}}  ")
        kind = field(change, "kind")
        added, deleted = change.get("added_lines"), change.get("deleted_lines")
        if isinstance(added, int) and isinstance(deleted, int):
            row.append(f"{added + deleted:>5} ", "dim")
            plus, minus = _bars(added, deleted)
            row.append("+" * plus, "green").append("-" * minus, "red")
            if kind != "modified":
                row.append(f"  {kind}", "dim")
        else:
            row.append(f"{kind}, binary", "dim")
        rows.append(row)
    if len(changes) > _FILES_SHOWN:
        rows.append(Line(f"  and {len(changes) - _FILES_SHOWN} more", "dim"))
    return rows + _left_out(left_out)


def _left_out(paths: Sequence[Mapping[str, object]]) -> list[Line]:
    """What changed and is not in the patch. One may be what the agent was to make: it is named."""
    if len(paths) > _LEFT_OUT_NAMED:
        return [Line(f"  {len(paths)} paths left out of the patch, see the report", "yellow")]
    return [
        Line(f"  left out of the patch: {field(path, 'path')} {field(path, 'reason')}", "yellow")
        for path in paths
    ]


def _kernel_refusals(run: RecordedRun) -> list[str]:
    """Programs that the kernel refused, each with the calls under which it did."""
    calls: dict[str, list[str]] = {}
    for row in run.rows("kernel_refusals"):
        numbers = calls.setdefault(field(row, "program"), [])
        if field(row, "call") not in numbers:
            numbers.append(field(row, "call"))
    lines = [
        f"refused by the kernel: {one_line(program, _PATH_WIDTH * 2)} (call {_some(numbers)})"
        for program, numbers in list(calls.items())[:_REFUSALS_NAMED]
    ]
    if len(calls) > _REFUSALS_NAMED:
        rest = len(calls) - _REFUSALS_NAMED
        lines.append(f"refused by the kernel: {rest} programs more, see the report")
    return lines


def _some(numbers: Sequence[str]) -> str:
    shown = ", ".join(numbers[:_CALLS_NAMED])
    return shown if len(numbers) <= _CALLS_NAMED else f"{shown} …"


def _verification(run: RecordedRun) -> tuple[str, str] | None:
    value = run.summary.get("verification")
    if not isinstance(value, Mapping):
        return None
    command = field(value, "command")
    match value.get("type"):
        case "verified":
            return f"verified: {command} passes in a fresh container with the patch", "green"
        case "failed":
            how = f"{field(value, 'ending')}, exit code {field(value, 'exit_code')}"
            return f"not verified: {command}: {how}, in a fresh container with the patch", "red"
        case "not_run":
            return f"not verified: {command} was not run: {field(value, 'reason')}", "red"
        case _:
            return None


def _next(run: RecordedRun) -> str:
    if run.text("container_left"):
        return f"moonpool resume {run.id} --export-only"
    if run.text("outcome") == RUNNING:
        # Or its process was killed: then this takes it up, and else says who works on it.
        return f"moonpool resume {run.id}"
    if run.text("outcome") == "export refused":
        return f"moonpool show {run.id} --patch"
    applied = AppliedPatch.of(run.directory).patch
    if applied and hashlib.sha256(applied).hexdigest() == run.text("patch_sha256"):
        return "nothing: the workspace has all of it, by /apply"
    if run.rows("changes") or applied:
        return f"moonpool apply {run.id} --check"
    return "moonpool run TASK"


def field(row: Mapping[str, object], key: str) -> str:
    """One field of a recorded object as one visible line."""
    value = row.get(key)
    if isinstance(value, Mapping):  # bytes that are no UTF-8
        return f"(base64) {one_line(str(value.get('base64', '')), _PATH_WIDTH)}"
    return "" if value is None else one_line(str(value))


def _bars(added: int, deleted: int) -> tuple[int, int]:
    """Lengths of the two parts of a diffstat's bar; what there is shows at least as one mark."""
    total = added + deleted
    if total <= _BAR:
        return added, deleted
    plus = max(1, added * _BAR // total) if added else 0
    minus = max(1, deleted * _BAR // total) if deleted else 0
    return plus, minus
