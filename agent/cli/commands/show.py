"""``moonpool show``: what a run did and what came of it."""

import sys
from pathlib import Path
from typing import assert_never

from agent import exit_codes
from agent.cli.arguments import Command, Given, Misuse, flag
from agent.cli.commands.runs import document_of
from agent.cli.options import AS_JSON, RUN
from agent.cli.past_run import OF_WORKSPACE, past_run
from agent.cli.saying import print_json
from agent.config import environment
from agent.errors import UsageError
from agent.record.decisions import Decision, decisions
from agent.record.reader import read_record
from agent.record.timeline import RowKind, timeline
from agent.terminal.diff import print_patch
from agent.terminal.result import print_indented, print_result
from agent.terminal.screen import Line, Screen, open_screen
from agent.untrusted_text import one_line, visible

_WORDS_WIDTH = 160
_SAID_LINES = 200
_OUTPUT_LINES = 60
_MARKS = {RowKind.ASKED: "> ", RowKind.ANSWERED: "< "}
PATCH = flag("--patch", help="Print the patch itself.")


def show(given: Given) -> int:
    """Print a run: for a person, as JSON, or its patch; gives the exit code."""
    if given[AS_JSON] and given[PATCH]:
        raise Misuse("Invalid value: --json names the patch's file: --patch does not go with it")
    run = past_run(given)
    if given[AS_JSON]:
        print_json(document_of(run))
        return exit_codes.DONE
    out = open_screen(environment.environ())
    if given[PATCH]:
        if run.summary.patch is None:
            raise UsageError(f"run {run.id} has no patch: {run.without_patch}")
        _print_patch(out, Path(run.summary.patch))
        return exit_codes.DONE
    out.print(Line("run     ", "dim").append(one_line(run.id), "bold"))
    for label, words in (
        ("task", run.summary.task),
        ("on", run.summary.workspace),
        ("policy", run.summary.policy),
        ("model", run.summary.model),
        ("started", run.summary.started),
    ):
        # Of a task with several lines none may pass for one of ours: it may be a stranger's.
        shown = visible(words).replace("\n", f"\n{'':<8}")
        row = Line(f"{label:<8}", "dim").append(shown, "default")
        out.print(row)
    last_words = _print_steps(out, run.directory)
    if last_words:
        out.print(Line("said", "dim"))
        print_indented(out, last_words, most=_SAID_LINES)
    print_result(out, run, findings_limit=sys.maxsize, output_lines=_OUTPUT_LINES)
    for decision in decisions(run.directory):
        out.print_hanging(Line(_decided(decision), "dim"), margin="        ")
    return exit_codes.DONE


def _decided(decision: Decision) -> str:
    what = f"{one_line(decision.hunks)} of the patch" if decision.hunks else "the patch"
    risks = ", ".join(map(one_line, decision.accepted_risks))
    passed = f"; let pass: {risks} ({one_line(decision.reason)})" if risks else ""
    put = f"{what} put in {one_line(decision.place)}" if decision.patch_sha256 else decision.place
    checked = {True: "; verified before", False: "; NOT verified before", None: ""}
    said = f"{put}{checked[decision.verified]}{passed}"
    return f"decided {decision.at} by {one_line(decision.by)}: {one_line(said)}"


def _print_steps(out: Screen, directory: Path) -> str:
    """The calls of the run, and in a chat what its person did, one to a line; gives the last words
    that the model said."""
    record = read_record(directory)
    said = ""
    for row in timeline(line.event for line in record.lines):
        title = one_line(row.title, _WORDS_WIDTH)
        match row.kind:
            case RowKind.DENIED:
                line = Line(f"  ! {row.brief}: {title}", "red")
            case RowKind.OK | RowKind.FAILED:
                style = "dim" if row.kind is RowKind.OK else "yellow"
                line = Line(f"  {title}").append(f"  {row.brief}", style)
            case RowKind.ASKED | RowKind.ANSWERED | RowKind.DONE:
                line = Line(f"  {_MARKS.get(row.kind, '')}{title}", "bold")
            case RowKind.SAID:
                said = row.title
                continue
            case RowKind.NOTE:
                continue
            case _:
                assert_never(row.kind)
        out.print(line)
    if record.fault:
        out.print(Line(f"  {one_line(record.fault)}", "bold red"))
    return said


def _print_patch(out: Screen, path: Path) -> None:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"this run has no patch to show: {path}: {error.strerror}") from error
    print_patch(out, data)


COMMAND = Command(
    show,
    (RUN, OF_WORKSPACE, PATCH, AS_JSON),
    """

    Example: moonpool show last --patch
    """,
)
