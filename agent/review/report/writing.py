"""What is written beside a run's summary when it is over: a page for a person, a file for tools.

Imported when a run is over and not before: what it needs costs no start.
"""

from collections.abc import Sequence

from agent.record.events.kinds import Recorded
from agent.record.store import RunRecord
from agent.record.summary import RunResult
from agent.review.report.html import hiding, render
from agent.review.report.trajectory import recorded_times, trajectory


def write_reports(record: RunRecord, result: RunResult, log: Sequence[Recorded]) -> None:
    """Write ``report.html`` and ``trajectory.json``.

    Raises:
        RecordError: one can't be written.
    """
    record.write_report(render(result, log))
    times = recorded_times(record.directory)
    hide = hiding(result.document.findings)
    record.write_trajectory(trajectory(result.document, log, times, hide))
