"""A run from the first event to the last word, as the command line shows it.

Owns who watches it (`Frontend`) and what is written and printed when it is over. Knows no command's
options: `run`, `chat`, `resume` and `fork` all come through here.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.setup import environment, exit_codes, workspace
from agent.cli.setup import model as model_setup
from agent.cli.setup.exit_code_of import of_outcome
from agent.cli.setup.observers import Observers
from agent.conversation.approval import Approve, nobody_to_ask
from agent.errors import RecordError
from agent.interrupts import Interrupts, SignalReceived
from agent.job import Job, OpenBox
from agent.observe.run_log import LOG
from agent.record.events.kinds import Event
from agent.record.events.lifecycle import Notice
from agent.record.journal import Show, each
from agent.record.runs import RecordedRun
from agent.record.store import REPORT, SUMMARY, RunRecord
from agent.record.summary import RunResult
from agent.report.html import render
from agent.run import Run
from agent.session import RunSetup, SessionDriver, one_task
from agent.terminal.progress import Display
from agent.terminal.result import print_result
from agent.terminal.screen import Line, open_screen, write_nowhere
from policies.policy import Policy
from sandbox.atomic_write import write_atomically

if TYPE_CHECKING:
    from agent.conversation.resume_state import ResumeState


def notices_of(root: Path, policy: Policy) -> list[str]:
    """What a person should know before anything is done."""
    notices = [
        f"{name} in the workspace is ignored: a policy is never read from there"
        for name in workspace.ignored_policies(root)
    ]
    narrowed = policy.narrowed
    return notices if narrowed is None else [*notices, narrowed]


def may_ask(*, json_lines: bool) -> bool:
    """Is there a person at a terminal?"""
    return not json_lines and sys.stdin.isatty() and sys.stdout.isatty()


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontend:
    """What a run has of the person who watches it."""

    interrupts: Interrupts
    show: Show
    close: Callable[[], None]
    """Gives the terminal back."""
    approve: Approve
    driver: SessionDriver


def _watching(job: Job, *, json_lines: bool) -> Frontend:
    interrupts = Interrupts()
    if json_lines:
        return Frontend(
            interrupts=interrupts,
            show=_print_line,
            close=lambda: None,
            approve=nobody_to_ask,
            driver=one_task,
        )
    screen = open_screen(environment.environ(), leavable=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunController:
    """Leads one run; calling it gives the exit code."""

    record: RunRecord
    json_lines: bool
    out: Path | None
    ready: model_setup.PreparedModel

    def __call__(
        self,
        job: Job,
        open_box: OpenBox,
        *,
        notices: Sequence[str] = (),
        front: Frontend | None = None,
        past: "ResumeState | None" = None,
        torn_bytes: int = 0,
    ) -> int:
        """Gives the exit code."""
        front = front or _watching(job, json_lines=self.json_lines)
        interrupts = front.interrupts
        observers = Observers(self.record, self.ready.model, self.ready.telemetry)
        going = Run(
            RunSetup(
                job=job,
                model=self.ready.model,
                open_box=open_box,
                record=self.record,
                show=each(observers.show, front.show),
                approve=front.approve,
                interrupts=interrupts,
                exit_code=of_outcome,
                driver=front.driver,
                past=past,
                torn_bytes=torn_bytes,
                facts=self.ready.facts,
            )
        )
        with interrupts.installed(until_exit=True), observers, contextlib.suppress(SignalReceived):
            try:
                for notice in (*notices, *self.ready.notices):
                    going.journal.emit(Notice(text=notice))
                result = going.go()
            finally:
                front.close()
            with interrupts.shielded():
                _finish(self, going, result, self.record)
            return result.exit_code
        return exit_codes.INTERRUPTED  # a third signal while the last words were written


def _finish(options: RunController, going: Run, result: RunResult, record: RunRecord) -> None:
    """Write what is left to write, and show what came of it."""
    document = result.document.json_object()
    try:
        record.write_summary(document)
        record.write_report(render(result, going.journal.log))
    except RecordError as error:
        print(f"moonpool: {error}", file=sys.stderr)
    if options.out is not None:
        _copy_out(options.out, result, record)
    try:
        if options.json_lines:
            _print_line(None, record.redact(json.dumps({"event": "summary", **document})))
        else:
            screen = open_screen(environment.environ(), leavable=True)
            screen.print(Line())
            print_result(
                screen,
                RecordedRun(id=record.run_id, directory=record.directory, summary=result.document),
            )
    except OSError:
        return  # nobody reads any more; the record has it all


def _copy_out(out: Path, result: RunResult, record: RunRecord) -> None:
    """Put patch, report and log where the operator wants them too; never through a link."""
    sources = [record.directory / name for name in (REPORT, SUMMARY, LOG)]
    if result.delivery is not None:
        sources.append(result.delivery.path)
    try:
        for source in sources:
            if source.exists():
                write_atomically(out / source.name, source.read_bytes())
    except OSError as error:
        print(f"moonpool: {out} can't be written: {error.strerror}", file=sys.stderr)


def _print_line(_event: Event | None, line: str | None) -> None:
    if line is None:
        return
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        write_nowhere(sys.stdout)  # the reader left; that costs no exit code at the end
