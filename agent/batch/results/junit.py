"""``junit.xml``: a test case a task, for whatever shows the results of a build.

A ``failure`` is the agent's (a limit, a failed verification), an ``error`` is somebody else's (the
engine, the model's service, a setting); a task that was not run is skipped. Everything that comes
from a run is hostile: only what XML may hold stands in the file, and what may not is spelled out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from agent.batch.attempt import AttemptResult
from agent.batch.results.rows import run_of
from agent.batch.results.verdict import TaskVerdict, verdict
from agent.batch.task import Task
from agent.errors import RecordError
from agent.record.runs import run_in
from agent.untrusted_text import one_line, visible
from agent.verification import Failed, Verified

# https://www.w3.org/TR/xml/#charsets, without the characters that it discourages
_ILLEGAL = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]")


def pieces(
    directory: Path,
    began: datetime,
    tasks: Sequence[Task],
    choices: Mapping[str, AttemptResult],
    notes: Mapping[str, str],
) -> Iterator[bytes]:
    """The file, piece by piece."""
    rows = [choices.get(task.id) for task in tasks]
    verdicts = [verdict(row) for row in rows]
    counts = " ".join(
        f'{attribute}="{count}"'
        for attribute, count in (
            ("tests", len(tasks)),
            ("failures", verdicts.count(TaskVerdict.FAILURE)),
            ("errors", verdicts.count(TaskVerdict.ERROR)),
            ("skipped", verdicts.count(TaskVerdict.NOT_DONE)),
            ("time", f"{sum(row.seconds for row in rows if row is not None):.3f}"),
        )
    )
    yield b'<?xml version="1.0" encoding="UTF-8"?>\n'
    name = f'name={_attribute(directory.name)} timestamp="{began.isoformat(timespec="seconds")}"'
    yield f"<testsuites {counts}>\n<testsuite {name} {counts}>\n".encode()
    for task, row, ended in zip(tasks, rows, verdicts, strict=True):
        yield _case(directory, task, row, ended, notes.get(task.id, "")).encode()
    yield b"</testsuite>\n</testsuites>\n"


def _case(
    directory: Path, task: Task, row: AttemptResult | None, ended: TaskVerdict, note: str
) -> str:
    seconds = 0.0 if row is None else row.seconds
    inside = ""
    if row is None or ended is TaskVerdict.NOT_DONE:
        message = "it was not run" if row is None else row.outcome
        inside = f"<skipped message={_attribute(message)}/>\n"
    elif ended is not TaskVerdict.PASSED:
        kind = row.error_kind or row.outcome
        message = ": ".join(filter(None, (row.outcome, row.detail)))
        inside = f"<{ended} type={_attribute(kind)} message={_attribute(message)}/>\n"
    run = None if row is None else run_of(row, directory)
    if run is not None:
        output = legal(_output(run))
        inside += f"<system-out>{escape(output)}</system-out>\n" if output else ""
    if note:
        inside += f"<system-err>{escape(legal(note))}</system-err>\n"
    head = f'<testcase classname="moonpool" name={_attribute(task.id)} time="{seconds:.3f}"'
    return f"{head}>\n{inside}</testcase>\n" if inside else f"{head}/>\n"


def legal(text: str) -> str:
    """The text with whatever acts, hides or may not stand in XML spelled out."""
    return _ILLEGAL.sub(lambda found: f"\\u{ord(found[0]):04x}", visible(text))


def _attribute(text: str) -> str:
    return quoteattr(legal(one_line(text)))


def _output(run: Path) -> str:
    """What the verification printed; empty where its summary can't be read."""
    try:
        checked = run_in(run).summary.verification
    except RecordError:
        return ""
    return checked.output if isinstance(checked, Verified | Failed) else ""
