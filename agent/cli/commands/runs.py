"""``moonpool runs``, ``show`` and ``apply``: what was recorded, and putting it to use."""

# Imports stand where they are needed, so that a command loads no SDK it does not use; and this is
# the terminal, where printing is the point.
# ruff: noqa: PLC0415, T201

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.setup import environment as settings
from agent.cli.setup import exit_codes as exits
from agent.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from agent.record.runs import Run
    from sandbox.patch.baseline import Baseline
    from sandbox.patch.make import Change

_TASK_WIDTH = 60
_SUBJECT_WIDTH = 72
_WORDS_WIDTH = 160


def list_runs(limit: int) -> int:
    from rich.table import Table
    from rich.text import Text

    from agent.record.runs import all_runs
    from agent.untrusted_text import one_line

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("RUN", "OUTCOME", "FILES", "TASK", "WORKSPACE"):
        table.add_column(name, overflow="fold", no_wrap=name == "RUN")
    count = 0
    for run in all_runs(settings.home()):
        count += 1
        if count > limit:
            break
        outcome = run.text("outcome") or "unreadable"
        table.add_row(
            run.id,
            Text(one_line(outcome), "green" if outcome == "finished" else "yellow"),
            str(len(run.rows("changes"))),
            Text(one_line(run.text("task"), _TASK_WIDTH)),
            Text(one_line(run.text("workspace"))),
        )
    if not count:
        print('no runs yet: start one with moonpool run "fix the failing tests"')
        return exits.DONE
    console().print(table)
    return exits.DONE


def show(wanted: str, *, patch: bool) -> int:
    from rich.text import Text

    from agent.record.runs import find
    from agent.terminal.result import print_verdict
    from agent.untrusted_text import visible

    run = find(settings.home(), wanted)
    out = console()
    if patch:
        _print_patch(out, Path(run.text("patch")))
        return exits.DONE
    out.print(Text("run     ", "dim").append(run.id, "bold"))
    for label, key in (
        ("task", "task"),
        ("on", "workspace"),
        ("policy", "policy"),
        ("model", "model"),
        ("started", "started"),
    ):
        row = Text(f"{label:<8}", "dim").append(visible(run.text(key)), "default")
        out.print(row, soft_wrap=True)
    _print_steps(out, run.directory)
    print_verdict(out, run, findings_limit=sys.maxsize)
    return exits.DONE


def _print_steps(out: "Console", directory: Path) -> None:
    """The calls of the run, one to a line."""
    from rich.text import Text

    from agent.record.events.wording import call_in_words
    from agent.record.runs import Run, events_of
    from agent.terminal.result import field
    from agent.untrusted_text import one_line

    calls: dict[object, str] = {}
    for event in events_of(Run(id=directory.name, directory=directory, summary={})):
        kind = event.get("event")
        arguments = event.get("arguments")
        if kind in {"call_started", "call_refused"} and isinstance(arguments, dict):
            words = one_line(call_in_words(str(event.get("tool")), arguments), 160)
            calls[event.get("number")] = words
        if kind == "call_refused":
            what = f"{field(event, 'why')}: {calls.get(event.get('number'), '')}"
            out.print(Text(f"  ! {what}", "red"), soft_wrap=True)
        elif kind == "call_ended":
            failed = bool(event.get("is_error")) or event.get("exit_code") not in {None, 0}
            row = Text("  ").append(calls.get(event.get("number"), ""))
            row.append(f"  {field(event, 'brief')}", "yellow" if failed else "dim")
            out.print(row, soft_wrap=True)
        else:
            words = _of_its_person(event)
            if words:
                out.print(Text(f"  {words}", "bold"), soft_wrap=True)


def _of_its_person(event: Mapping[str, object]) -> str:
    """What the person of a chat did, and how the model answered."""
    from agent.untrusted_text import one_line

    match event:
        case {"event": "user_said", "what": "request", "text": str() as text}:
            return f"> {one_line(text, _WORDS_WIDTH)}"
        case {"event": "request_awaited", "outcome": {"message": str() as text}} if (
            text != "nothing was asked"
        ):
            return f"< {one_line(text, _WORDS_WIDTH)}"
        case {"event": "went_back", "call": call}:
            return f"the files went back to what they were after call {call}"
        case {"event": "applied", "changes": [*changes], "directory": str() as directory}:
            return f"{len(changes)} files were applied to {one_line(directory)}"
        case _:
            return ""


def _print_patch(out: "Console", path: Path) -> None:
    from agent.terminal.diff import print_patch

    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"this run has no patch to show: {path}: {error.strerror}") from error
    print_patch(out, data)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOptions:
    run: str
    directory: Path | None
    check: bool
    three_way: bool
    branch: str | None


def apply(options: ApplyOptions) -> int:
    from agent.record.runs import baseline_of, find, patch_of
    from agent.record.store import BASELINE
    from sandbox.apply.directory import apply_patch
    from sandbox.errors import PatchError
    from sandbox.git.apply import DoesNotApply

    run = find(settings.home(), options.run)
    if run.text("outcome") == "export refused":
        print(
            f"moonpool: the export gate refused the patch of run {run.id}: see "
            f"`moonpool show {run.id}`; it is kept in {run.text('patch')}",
            file=sys.stderr,
        )
        return exits.EXPORT_REFUSED
    data = patch_of(run)
    target = options.directory or Path(run.text("workspace"))
    if options.directory is None and options.branch is None:
        rest = _rest(run, data)
        if rest != data and options.three_way:
            raise UsageError(
                f"a part of run {run.id} was applied in its chat, and what is left is not merged: "
                "apply it without --three-way, or all of it with --branch NAME"
            )
        data = rest
    if not data:
        print(f"run {run.id} changed nothing that is not there: there is nothing to apply")
        return exits.DONE
    if not target.is_dir():
        if options.directory is not None:
            raise UsageError(f"-w {target} is not a directory")
        raise UsageError(f"{target} is not there any more: name a directory with -w")
    baseline = baseline_of(run) if options.three_way else None
    if options.branch is not None:
        return _apply_to_branch(run, data, target, baseline, options)
    try:
        report = apply_patch(data, target, check=options.check, baseline=baseline)
    except DoesNotApply as error:
        if baseline is not None:
            hint = f"For git to show the conflict: moonpool apply --branch NAME {run.id}"
        elif (run.directory / BASELINE).is_dir():
            hint = f"To merge it with what was changed since: moonpool apply --three-way {run.id}"
        else:
            raise
        raise PatchError(f"{error} {hint}") from error
    does = "would change" if options.check else "changed"
    print(f"{does} {_count(report.changes)} in {target}:")
    _print_changes(report.changes)
    if options.check and report.changes:
        print(f"it fits: moonpool apply {run.id}")
    return exits.DONE


def _rest(run: "Run", data: bytes) -> bytes:
    """The patch without what the person applied in the middle of a chat."""
    from agent.record.applied_patch import applied_of
    from agent.record.runs import events_of
    from agent.record.store import BASELINE

    told = [row for row in events_of(run) if row.get("event") == "applied"]
    applied = applied_of(run.directory, told[-1] if told else None)
    return applied.rest(data, run.directory / BASELINE)


def _apply_to_branch(
    run: "Run", data: bytes, target: Path, baseline: "Baseline | None", options: ApplyOptions
) -> int:
    from agent.untrusted_text import one_line
    from sandbox.apply.branch import branch_patch

    branch = options.branch or ""
    message = f"{one_line(run.text('task'), _SUBJECT_WIDTH)}\n\nMoonpool run {run.id}"
    report = branch_patch(
        data, target, branch=branch, message=message, check=options.check, baseline=baseline
    )
    changes = report.changes.changes
    if options.check:
        print(f"it fits HEAD ({report.parent[:12]}) and would change {_count(changes)}:")
    else:
        print(
            f"branch {branch}: commit {report.commit[:12]} on {report.parent[:12]} changes "
            f"{_count(changes)}; nothing else in {target} is touched:"
        )
    _print_changes(changes)
    return exits.DONE


def _count(changes: "Sequence[Change]") -> str:
    return f"{len(changes)} {'file' if len(changes) == 1 else 'files'}"


def _print_changes(changes: "Sequence[Change]") -> None:
    from agent.untrusted_text import path_text

    for change in changes:
        moved = f"{path_text(change.old_path)} -> " if change.old_path else ""
        print(f"  {change.kind:<9} {moved}{path_text(change.path)}")


def console() -> "Console":
    from rich.console import Console

    return Console(emoji=False, markup=False, highlight=False, file=sys.stdout)
