"""A run from the first event to the last word, as the command line shows it.

Owns who watches it (`Frontend`) and what is written and printed when it is over. Knows no command's
options: `run`, `chat`, `resume` and `fork` all come through here.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from agent import exit_codes
from agent.cli import tidying
from agent.config import environment
from agent.errors import RecordError, UsageError
from agent.interrupts import Interrupts, SignalReceived
from agent.lifecycle.job import Job, OpenBox
from agent.lifecycle.run import Run
from agent.lifecycle.session import RunSetup, SessionDriver, one_task
from agent.preparation import model as model_setup
from agent.preparation import workspace
from agent.preparation.prepare import observed, write_down
from agent.record.journal import Show
from agent.record.outcome import Finished
from agent.record.run_log import LOG
from agent.record.runs import RecordedRun
from agent.record.store import PATCH, REFUSED_PATCH, REPORT, SUMMARY, RunRecord
from agent.record.summary import RunResult
from agent.terminal.progress import Display
from agent.terminal.result import print_result
from agent.terminal.screen import Line, open_screen, print_line
from agent.untrusted_text import one_line, shortened, visible
from policies.decision import Approve, nobody_to_ask
from policies.frozen import dataclass
from sandbox.cache import write_atomically
from sandbox.patch.make import INDEX_PATCH
from sandbox.workspace.source import Workspace

if TYPE_CHECKING:
    from agent.conversation.resume_state import ResumeState

_FAILURE_WIDTH = 600


def may_ask(*, json_lines: bool, shown_on: TextIO | None = None) -> bool:
    """Is there a person at a terminal?

    Args:
        shown_on: where questions are shown; None: on standard error.
    """
    return not json_lines and sys.stdin.isatty() and (shown_on or sys.stderr).isatty()


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontend:
    """What a run has of the person who watches it."""

    interrupts: Interrupts
    show: Show
    close: Callable[[], None]
    """Gives the terminal back; may be called again."""
    approve: Approve
    driver: SessionDriver
    answers: bool = False
    """The agent's answers stand on standard output already."""


def _watching(job: Job, *, json_lines: bool) -> Frontend:
    interrupts = Interrupts()
    if json_lines:
        return Frontend(
            interrupts=interrupts,
            show=lambda _event, line: print_line(line) if line is not None else None,
            close=lambda: None,
            approve=nobody_to_ask,
            driver=one_task,
        )
    # What happens goes to standard error, as with any program; what came of it is its output.
    screen = open_screen(environment.environ(), leavable=True, errors=True)
    display = Display(screen)
    approve: Approve = nobody_to_ask
    if job.may_ask:
        from agent.terminal.approval_prompt import at_terminal

        approve = at_terminal(screen, interrupts)
    return Frontend(
        interrupts=interrupts,
        show=display.show,
        close=display.close,
        approve=approve,
        driver=one_task,
    )


def conduct(
    job: Job,
    open_box: OpenBox,
    *,
    record: RunRecord,
    ready: model_setup.PreparedModel,
    json_lines: bool = False,
    out: Path | None = None,
    notices: Sequence[str] = (),
    front: Frontend | None = None,
    past: "ResumeState | None" = None,
    torn_bytes: int = 0,
) -> int:
    """Lead one run; gives the exit code."""
    front = front or _watching(job, json_lines=json_lines)
    interrupts = front.interrupts
    setup = RunSetup(
        job=job,
        model=ready.model,
        open_box=open_box,
        record=record,
        show=front.show,
        approve=front.approve,
        interrupts=interrupts,
        driver=front.driver,
        past=past,
        torn_bytes=torn_bytes,
        facts=ready.facts,
        reviewer=ready.reviewer,
    )
    going = observed(
        setup,
        telemetry=ready.telemetry,
        notices=(*notices, *ready.notices),
        unsent=_say,
    )
    with (
        interrupts.installed(until_exit=True),
        contextlib.closing(front),
        going as run,
        contextlib.suppress(SignalReceived),
    ):
        result = run.go()
        front.close()
        with interrupts.shielded():
            _finish(record, run, result, json_lines=json_lines, out=out, answered=front.answers)
            tidying.begin(job.environ)
        return result.exit_code
    return exit_codes.INTERRUPTED  # a third signal while the last words were written


def _finish(
    record: RunRecord,
    going: Run,
    result: RunResult,
    *,
    json_lines: bool,
    out: Path | None,
    answered: bool,
) -> None:
    """Write what is left to write, and show what came of it."""
    document = result.document.json_object()
    try:
        write_down(record, going, result)
    except RecordError as error:
        _say(str(error))
    if out is not None:
        _copy_out(out, result, record)
    apart = _outputs_differ()
    if apart:
        _tell_failure(result)
    try:
        if json_lines:
            print_line(record.redact(json.dumps({"event": "summary", **document})))
        else:
            screen = open_screen(environment.environ(), leavable=True)
            screen.print(Line())
            if apart and not answered and isinstance(result.outcome, Finished):
                # The answer itself; where both go to one place it stands there already.
                screen.print(Line(visible(result.document.detail.rstrip()) + "\n"))
            print_result(
                screen,
                RecordedRun(id=record.run_id, directory=record.directory, summary=result.document),
            )
    except OSError:
        return  # nobody reads any more; the record has it all


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        print(f"moonpool: {line}", file=sys.stderr)


def _outputs_differ() -> bool:
    """Does standard output go elsewhere than standard error?"""
    try:
        return not os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):
        return True


def _tell_failure(result: RunResult) -> None:
    """Why a run did not do what it was asked, for whoever keeps standard output elsewhere."""
    if isinstance(result.outcome, Finished):
        return
    why = shortened(one_line(result.document.detail, _FAILURE_WIDTH))
    _say(f"{result.document.outcome}{why and ': '}{why}")


def make_out(out: Path | None, root: Workspace) -> None:
    """The directory for copies, made before the run, so that a wrong name costs none.

    Raises:
        UsageError: it lies in the workspace, can't be made, or holds something of an earlier run.
    """
    if out is None:
        return
    workspace.refuse_inside(out, root, "the output directory")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UsageError(f"-o {out} is not a directory") from error
    except OSError as error:
        raise UsageError(f"-o {out} can't be made: {error.strerror}") from error
    for name in (SUMMARY, PATCH, REFUSED_PATCH, INDEX_PATCH, REPORT, LOG):
        if os.path.lexists(out / name):
            raise UsageError(
                f"-o {out} holds {name} of an earlier run: name another directory, or move it away"
            )


def _copy_out(out: Path, result: RunResult, record: RunRecord) -> None:
    """Put patch, report and log where the operator wants them too; never through a link."""
    copies = {name: record.directory / name for name in (REPORT, SUMMARY, LOG)}
    if result.delivery is not None:
        # What is refused, by the gate or for want of approval, never has the name of a patch.
        refused = result.delivery.refused
        copies[REFUSED_PATCH if refused else PATCH] = result.delivery.path
        if not refused:
            copies[INDEX_PATCH] = record.directory / INDEX_PATCH
    try:
        for name, source in copies.items():
            if source.exists():
                write_atomically(out / name, source.read_bytes())
    except OSError as error:
        _say(f"{out} can't be written: {error.strerror}")
