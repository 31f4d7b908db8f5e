"""``moonpool apply``: a run's patch into a directory, or onto a branch."""

import sys
from collections.abc import Sequence
from pathlib import Path

from agent.cli.arguments import Command, Given, flag, path, text
from agent.cli.setup import environment, exit_codes
from agent.cli.setup.options import RUN
from agent.errors import UsageError
from agent.record.applied_patch import applied_of, note_place
from agent.record.reader import read_record
from agent.record.runs import RecordedRun, baseline_of, find, index_patch_of, patch_of
from agent.record.state.run import fold
from agent.record.store import BASELINE
from agent.untrusted_text import one_line, path_text, shortened
from sandbox.apply.branch import branch_patch
from sandbox.apply.directory import apply_patch
from sandbox.errors import PatchError
from sandbox.git.apply import AppliedAlready, DoesNotApply
from sandbox.patch.baseline import Baseline
from sandbox.patch.values import Change
from sandbox.workspace.place import NOWHERE, named, on_host

_SUBJECT_WIDTH = 72


DIRECTORY = path("-w", "--workspace", metavar="DIR", help="Instead of the run's workspace.")
CHECK = flag("--check", help="Only see whether it would fit.")
THREE_WAY = flag("--three-way", help="Merge it into files that were changed since.")
BRANCH = text(
    "--branch",
    metavar="NAME",
    help="Commit it to a new branch on HEAD; files and index stay as they are.",
)


def apply(given: Given) -> int:
    run = find(environment.home(), given[RUN])
    if run.is_refused:
        print(
            f"moonpool: the export gate refused the patch of run {run.id}: see "
            f"`moonpool show {run.id}`; it is kept in {run.summary.patch}",
            file=sys.stderr,
        )
        return exit_codes.EXPORT_REFUSED
    data = patch_of(run) if given[BRANCH] is None else index_patch_of(run)
    target = given[DIRECTORY] or on_host(named(run.summary.workspace))
    if given[DIRECTORY] is None and given[BRANCH] is None:
        rest = _rest(run, data)
        if rest != data and given[THREE_WAY]:
            raise UsageError(
                f"a part of run {run.id} was applied in its chat, and what is left is not merged: "
                "apply it without --three-way, or all of it with --branch NAME"
            )
        data = rest
    if not data:
        print(f"run {run.id} changed nothing that is not there: there is nothing to apply")
        return exit_codes.DONE
    if not target.is_dir():
        if given[DIRECTORY] is None and target == NOWHERE:
            raise UsageError(
                f"the workspace of run {run.id} is {run.summary.workspace}, a folder of its image: "
                "name the directory that gets the patch with -w DIR"
            )
        if given[DIRECTORY] is not None:
            raise UsageError(f"-w {target} is not a directory")
        raise UsageError(f"{target} is not there any more: name a directory with -w")
    baseline = baseline_of(run, stored=given[BRANCH] is not None) if given[THREE_WAY] else None
    onto = _apply_to_directory if given[BRANCH] is None else _apply_to_branch
    try:
        onto(run, data, target, baseline, given)
    except AppliedAlready:
        _print_done_before(run, "HEAD")
    if not given[CHECK] and run.summary.patch_sha256 is not None:
        branch = f"branch {given[BRANCH]} in " if given[BRANCH] is not None else ""
        note_place(run.directory, run.summary.patch_sha256, f"{branch}{target}")
    return exit_codes.DONE


def _apply_to_directory(
    run: RecordedRun, data: bytes, target: Path, baseline: Baseline | None, given: Given
) -> None:
    try:
        report = apply_patch(data, target, check=given[CHECK], baseline=baseline)
    except DoesNotApply as error:
        if baseline is not None:
            hint = f"For git to show the conflict: moonpool apply --branch NAME {run.id}"
        elif (run.directory / BASELINE).is_dir():
            hint = f"To merge it with what was changed since: moonpool apply --three-way {run.id}"
        else:
            raise
        raise PatchError(f"{error} {hint}") from error
    if not report.changes:
        _print_done_before(run, str(target))
        return
    does = "would change" if given[CHECK] else "changed"
    print(f"{does} {_count(report.changes)} in {target}:")
    _print_changes(report.changes)
    if given[CHECK]:
        print(f"it fits: moonpool apply {run.id}")


def _rest(run: RecordedRun, data: bytes) -> bytes:
    """The patch without what the person applied in the middle of a chat."""
    state = fold(line.event for line in read_record(run.directory).require())
    applied = applied_of(run.directory, state.applied)
    return applied.rest(data, run.directory / BASELINE)


def _apply_to_branch(
    run: RecordedRun, data: bytes, target: Path, baseline: Baseline | None, given: Given
) -> None:
    branch = given[BRANCH] or ""
    message = f"{one_line(run.summary.task, _SUBJECT_WIDTH)}\n\nMoonpool run {run.id}"
    report = branch_patch(
        data, target, branch=branch, message=message, check=given[CHECK], baseline=baseline
    )
    changes = report.changes.changes
    if given[CHECK]:
        print(f"it fits HEAD ({report.parent[:12]}) and would change {_count(changes)}:")
    else:
        print(
            f"branch {branch}: commit {report.commit[:12]} on {report.parent[:12]} changes "
            f"{_count(changes)}; nothing else in {target} is touched:"
        )
    _print_changes(changes)


def _print_done_before(run: RecordedRun, where: str) -> None:
    print(f"nothing to do: all that run {run.id} changed is in {where} already")


def _count(changes: Sequence[Change]) -> str:
    return f"{len(changes)} {'file' if len(changes) == 1 else 'files'}"


def _print_changes(changes: Sequence[Change]) -> None:
    for change in changes:
        moved = f"{path_text(change.old_path)} -> " if change.old_path else ""
        print(f"  {change.kind:<9} {shortened(moved + path_text(change.path))}")


COMMAND = Command(
    apply,
    (RUN, DIRECTORY, CHECK, THREE_WAY, BRANCH),
    """

    Example: moonpool apply last --check
    """,
)
