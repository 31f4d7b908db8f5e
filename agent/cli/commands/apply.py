"""``moonpool apply``: a run's patch into a directory, or onto a branch."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent import exit_codes
from agent.cli import decided
from agent.cli.arguments import Command, Given, flag, path, text, texts
from agent.cli.hunks import chosen
from agent.cli.options import ACCEPT_RISK, AS_JSON, BECAUSE, RUN
from agent.cli.past_run import past_run
from agent.cli.saying import print_json, progress
from agent.config import environment
from agent.errors import UsageError
from agent.past_runs.reviewed_patch import reviewed_patch, spelled
from agent.record.applied_patch import applied_of
from agent.record.reader import read_record
from agent.record.run_state import fold
from agent.record.runs import RecordedRun, baseline_of, delivered_of, index_patch_of, patch_of
from agent.record.store import BASELINE
from agent.risk.finding import NOT_APPROVED, Finding
from agent.terminal.screen import open_screen
from agent.untrusted_text import one_line, path_text, shortened, visible
from sandbox.apply.branch import branch_patch
from sandbox.apply.directory import apply_patch
from sandbox.errors import PatchError
from sandbox.git.apply import AppliedAlready, DoesNotApply
from sandbox.patch.baseline import Baseline
from sandbox.patch.selection import ChoiceRefused, HunkChoice, file_diffs
from sandbox.patch.values import Change
from sandbox.workspace.source import NOWHERE, named, on_host

_SUBJECT_WIDTH = 72


DIRECTORY = path("-w", "--workspace", metavar="DIR", help="Instead of the run's workspace.")
CHECK = flag("--check", help="Only see whether it would fit.")
THREE_WAY = flag("--three-way", help="Merge it into files that were changed since.")
BRANCH = text(
    "--branch",
    metavar="NAME",
    help="Commit it to a new branch on HEAD; files and index stay as they are.",
)


HUNKS = texts(
    "--hunks",
    metavar="FILE:N,…",
    help="Only these: a file, or hunks of it (FILE:2, FILE:1-3, FILE:mode); may be given again.",
)
ASKING = flag("-i", "--interactive", help="Ask about each hunk what is to be done with it.")


def apply(given: Given) -> int:
    run = past_run(given)
    if any((given[HUNKS], given[ASKING], given[ACCEPT_RISK])):
        return _apply_part(run, given)
    if run.is_refused:
        return _refused(run, given)
    data = patch_of(run) if given[BRANCH] is None else index_patch_of(run)
    if given[DIRECTORY] is None and given[BRANCH] is None:
        rest = _rest(run, data)
        if rest != data and given[THREE_WAY]:
            raise UsageError(
                f"a part of run {run.id} was applied in its chat, and what is left is not merged: "
                "apply it without --three-way, or all of it with --branch NAME"
            )
        data = rest
    if not data:
        if given[DIRECTORY] is not None:
            _target(run, given)  # a mistyped one is told all the same
        words = f"nothing to apply: run {run.id} changed nothing, or all of it is there already"
        _tell(given, run, [words])
        return exit_codes.DONE
    target = _target(run, given)
    _put(run, data, target, given)
    if not given[CHECK] and run.summary.patch_sha256 is not None:
        run.note_place(_place(given, target))
    return exit_codes.DONE


def _apply_part(run: RecordedRun, given: Given) -> int:
    """Apply what a person chose of a patch, or let pass in it; and keep that they did."""
    accepted = decided.accepted(given)
    if given[BRANCH] is not None and run.summary.git_note is not None:
        raise UsageError(
            "git stores some of these files otherwise than they stand, so a part of the patch is "
            "not committed: apply it to the files, or all of it with --branch NAME"
        )
    if given[DIRECTORY] is None and _rest(run, delivered_of(run)) != delivered_of(run):
        raise UsageError(f"a part of run {run.id} was applied in its chat: apply the rest whole")
    choice = _choice(run, given)
    if choice is not None and not choice:
        _tell(given, run, ["nothing is chosen: nothing is applied"])
        return exit_codes.DONE
    try:
        part = reviewed_patch(run, choice, accepted=accepted)
    except ChoiceRefused as error:
        raise UsageError(str(error)) from error
    if part.refusing:
        for finding in part.refusing:
            words = one_line(f"{finding.id}: {path_text(finding.path)}: {finding.reason}")
            print(f"moonpool: refused: {words}", file=sys.stderr)
        may = " ".join(sorted({f"--accept-risk {one.id}" for one in part.refusing}))
        print(f"moonpool: leave that out, or say {may} --because TEXT", file=sys.stderr)
        if given[AS_JSON]:
            _tell(given, run, (), refused=part.refusing)
        return exit_codes.EXPORT_REFUSED
    target = _target(run, given)
    _put(run, part.patch.data, target, given)
    if not given[CHECK]:
        whole = part.sha256 == run.summary.patch_sha256
        if whole:
            run.note_place(_place(given, target))
        decided.keep(
            given,
            run.directory,
            place=_place(given, target),
            patch_sha256=part.sha256,
            hunks="" if whole or choice is None else spelled(choice),
        )
    return exit_codes.DONE


def _choice(run: RecordedRun, given: Given) -> HunkChoice | None:
    """What is wanted of the patch; None: all of it."""
    if given[HUNKS]:
        if given[ASKING]:
            raise UsageError("--hunks says what is taken, and -i asks: only one of them")
        return chosen(given[HUNKS], [change.path for change in run.summary.changes])
    if not given[ASKING]:
        return None
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("-i asks at a terminal, and there is none: say --hunks FILE:N")
    from agent.terminal.hunk_prompt import at_terminal

    screen = open_screen(environment.environ(), errors=True)
    return at_terminal(screen)(file_diffs(delivered_of(run), run.summary.changes))


def _refused(run: RecordedRun, given: Given) -> int:
    if given[AS_JSON]:
        _tell(given, run, (), refused=[it for it in run.summary.findings if it.refuses])
    summary = run.summary
    names = {finding.id for finding in summary.findings if finding.refuses}
    who, part = "no reviewer approved", ""
    if names != {NOT_APPROVED}:
        # What a reviewer says is of the whole, and so of every part.
        part = f" What is not refused of it: moonpool apply -i {run.id}."
        who = "the export gate refused"
    may = " ".join(f"--accept-risk {one_line(name, 60)}" for name in sorted(names))
    whole = f"All of it, at your risk: moonpool apply {run.id} {may} --because TEXT"
    progress(
        f"moonpool: {who} the patch of run {run.id}: see `moonpool show {run.id}`; it is kept in "
        f"{summary.patch}.{part} {whole}"
    )
    return exit_codes.EXPORT_REFUSED


def _target(run: RecordedRun, given: Given) -> Path:
    target = given[DIRECTORY] or on_host(named(run.summary.workspace))
    if target.is_dir():
        return target.resolve()  # it is noted, and read from other directories
    if given[DIRECTORY] is None and target == NOWHERE:
        raise UsageError(
            f"the workspace of run {run.id} is {run.summary.workspace}, a folder of its image: "
            "name the directory that gets the patch with -w DIR"
        )
    if given[DIRECTORY] is not None:
        raise UsageError(f"-w {target} is not a directory")
    raise UsageError(f"{target} is not there any more: name a directory with -w")


def _place(given: Given, target: Path) -> str:
    branch = f"branch {given[BRANCH]} in " if given[BRANCH] is not None else ""
    return f"{branch}{target}"


def _put(run: RecordedRun, data: bytes, target: Path, given: Given) -> None:
    baseline = baseline_of(run, stored=given[BRANCH] is not None) if given[THREE_WAY] else None
    onto = _apply_to_directory if given[BRANCH] is None else _apply_to_branch
    try:
        onto(run, data, target, baseline, given)
    except AppliedAlready:
        _tell_done_before(given, run, "HEAD")


def _apply_to_directory(
    run: RecordedRun, data: bytes, target: Path, baseline: Baseline | None, given: Given
) -> None:
    try:
        changes = apply_patch(data, target, check=given[CHECK], baseline=baseline)
    except DoesNotApply as error:
        if baseline is not None:
            hint = f"For git to show the conflict: moonpool apply --branch NAME {run.id}"
        elif (run.directory / BASELINE).is_dir():
            hint = f"To merge it with what was changed since: moonpool apply --three-way {run.id}"
        else:
            raise
        raise PatchError(f"{error} {hint}") from error
    if not changes:
        _tell_done_before(given, run, str(target))
        return
    does = "would change" if given[CHECK] else "changed"
    fits = f"it fits: moonpool apply {run.id}" if data == _whole(run) else "it fits"
    _tell(
        given,
        run,
        [f"{does} {_count(changes)} in {target}:", *_listed(changes)] + [fits] * given[CHECK],
        place=target,
        changes=changes,
    )


def _whole(run: RecordedRun) -> bytes:
    return b"" if run.is_refused else patch_of(run)


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
    changes = report.changes
    if given[CHECK]:
        head = f"it fits HEAD ({report.parent[:12]}) and would change {_count(changes)}:"
    else:
        head = (
            f"branch {branch}: commit {report.commit[:12]} on {report.parent[:12]} changes "
            f"{_count(changes)}; nothing else in {target} is touched:"
        )
    commit = None if given[CHECK] else report.commit
    lines = [head, *_listed(changes)]
    _tell(given, run, lines, place=target, commit=commit, changes=changes)


def _tell_done_before(given: Given, run: RecordedRun, where: str) -> None:
    _tell(given, run, [f"nothing to do: all that run {run.id} changed is in {where} already"])


def _tell(
    given: Given,
    run: RecordedRun,
    lines: Sequence[str],
    *,
    place: Path | None = None,
    commit: str | None = None,
    changes: Sequence[Change] = (),
    refused: Sequence[Finding] = (),
) -> None:
    """What came of it: lines for a person, or one object."""
    if not given[AS_JSON]:
        print(*map(visible, lines), sep="\n")
        return
    print_json(
        {
            "run_id": run.id,
            "checked_only": given[CHECK],
            "place": None if place is None else str(place),
            "branch": given[BRANCH],
            "commit": commit,
            "changes": [
                {
                    "kind": change.kind.value,
                    "path": path_text(change.path),
                    "old_path": path_text(change.old_path) if change.old_path else None,
                }
                for change in changes
            ],
            "refused": [
                {"id": it.id, "path": path_text(it.path), "line": it.line, "reason": it.reason}
                for it in refused
            ],
        }
    )


def _count(changes: Sequence[Change]) -> str:
    return f"{len(changes)} {'file' if len(changes) == 1 else 'files'}"


def _listed(changes: Sequence[Change]) -> Iterator[str]:
    for change in changes:
        moved = f"{path_text(change.old_path)} -> " if change.old_path else ""
        yield f"  {change.kind:<9} {shortened(moved + path_text(change.path))}"


COMMAND = Command(
    apply,
    (RUN, DIRECTORY, CHECK, THREE_WAY, BRANCH, HUNKS, ASKING, ACCEPT_RISK, BECAUSE, AS_JSON),
    """

    Example: moonpool apply last --check
    """,
)
