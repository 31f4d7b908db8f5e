"""A prepared run, done from its first event to its written report.

Whoever leads a run comes through here: the command line, a batch, a server, a program. Owns who
listens beside the one that shows it, and what is written when it is over.
"""

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.lifecycle.run import Run
from agent.lifecycle.session import RunSetup
from agent.record.events.lifecycle import Notice
from agent.record.journal import each
from agent.record.run_log import RunLog
from agent.record.store import RunRecord
from agent.record.summary import RunResult

if TYPE_CHECKING:
    from agent.observe.otlp import TelemetrySettings


def carry_out(
    setup: RunSetup,
    *,
    telemetry: "TelemetrySettings | None" = None,
    notices: Sequence[str] = (),
) -> RunResult:
    """Do a run and write all of it down; every way to end is a value in the result.

    Args:
        telemetry: None: the operator configured no collector, and nothing is sent anywhere.
        notices: what a person should know before anything is done.

    Raises:
        RecordError: the summary or a report can't be written; the run is over all the same.
    """
    with observed(setup, telemetry=telemetry, notices=notices) as run:
        result = run.go()
        write_down(setup.record, run, result)
    return result


@contextmanager
def observed(
    setup: RunSetup,
    *,
    telemetry: "TelemetrySettings | None",
    notices: Sequence[str] = (),
    unsent: Callable[[str], None] = lambda _: None,
) -> Generator[Run]:
    """A run that its log, and the operator's collector where there is one, listen to.

    Args:
        unsent: told where spans could not be sent; the run's log has it too.
    """
    record = setup.record
    with RunLog(record.directory, redact=record.redact) as log:
        listening, spans = [log.show], None
        if telemetry is not None:
            from agent.observe.spans import SpanRecorder  # an extra

            spans = SpanRecorder(telemetry, run_id=record.run_id, model=setup.model)
            listening.append(spans.show)
        run = Run(replace(setup, show=each(*listening, setup.show)))
        try:
            for notice in notices:
                run.journal.emit(Notice(text=notice))
            yield run
        finally:
            line = spans.close() if spans is not None else None
            if line is not None:
                log.write(logging.WARNING, line)
                unsent(line)


def write_down(record: RunRecord, run: Run, result: RunResult) -> None:
    """Write what stands beside the events once a run is over: summary, report, trajectory.

    Raises:
        RecordError: one can't be written.
    """
    # What only the end needs costs no start.
    from agent.review.report.html import write_reports

    record.write_summary(result.document.json_object())
    write_reports(record, result, run.journal.log)
