"""A patch sent back: the comments become the agent's next request, in a run that goes on there.

A run that is over has no container any more. So the new one is forked at its end, in a process of
its own: the command line's, with its record, its report and its ways out. Owns the request's words
and that process. Refuses to know what the agent does.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue

from agent.errors import UsageError
from agent.record.decisions import Decision, note
from agent.record.runs import RecordedRun
from agent.record.store import EVENTS
from agent.review.decide.applying import ActionWatch, Operator
from agent.review.decide.marks import WHOLE, LineComment, PatchMarks, Verdict, parts_of
from agent.untrusted_text import one_line, path_text, shortened
from policies.frozen import dataclass
from sandbox.patch.selection import MODE, FileDiff

_REQUEST_BYTES = 100_000
"""An argument of a program has 128 KiB at most."""
_COMMAND = "from agent.cli import main; main()"
_LOOKED_AT = 50
_LINE_BYTES = 64 << 20
_STOP_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SentBack:
    run_id: str
    """Of the new run, which has begun."""


def request_of(files: Sequence[FileDiff], marks: PatchMarks, *, words: str = "") -> str:
    """What the agent is asked: what was rejected, and each comment with its file and line.

    Args:
        words: of the reviewer, for all of it.

    Raises:
        UsageError: nothing was said, or far too much.
    """
    pieces = ["A person reviewed your patch and sends it back. Mend it as they say."]
    if words.strip():
        pieces.append(words.strip())
    rejected = [line for file in files for line in _rejected(file, marks)]
    if rejected:
        pieces.append("Rejected, so do it otherwise or take it back:\n" + "\n".join(rejected))
    if marks.comments:
        pieces.append("Comments:\n" + "\n".join(map(_comment, marks.comments)))
    if len(pieces) == 1:
        raise UsageError("say what is to be done: reject a hunk, comment on a line, or write it")
    request = "\n\n".join(pieces)
    if len(request.encode("utf-8", "replace")) > _REQUEST_BYTES:
        raise UsageError(f"that is too much for one request: {_REQUEST_BYTES} bytes at most")
    return request


def _rejected(file: FileDiff, marks: PatchMarks) -> list[str]:
    name = path_text(file.path)
    rejected = [
        part for part in parts_of(file) if marks.verdict(file.path, part) is Verdict.REJECTED
    ]
    if len(rejected) == len(parts_of(file)):
        return [f"- {name}: all that you changed in it"]
    words = []
    for part in rejected:
        assert part != WHOLE
        if part == MODE:
            words.append(f"- {name}: the change of its mode")
        else:
            header = one_line(file.hunks[part - 1].header.decode(errors="replace").rstrip(), 200)
            words.append(f"- {name}: the hunk {header}")
    return words


def _comment(comment: LineComment) -> str:
    where = path_text(comment.path)
    if comment.line:
        old = " as it was before your change" if comment.side == "old" else ""
        where += f", line {comment.line}{old}"
    return f"- {where}: " + comment.text.replace("\n", "\n  ")


def send_back(
    run: RecordedRun, request: str, operator: Operator, watch: ActionWatch, *, model: str | None
) -> SentBack:
    """Begin a run that goes on where this one ended, with the request; gives it when it has begun.

    The run goes on by itself then, also where this process ends.

    Args:
        model: in place of the run's.

    Raises:
        UsageError: it can't be forked; says why.
        SignalReceived: it was cancelled before.
    """
    if run.is_running:
        raise UsageError(f"run {run.id} still goes on: wait for its end, then send it back")
    runs = run.directory.parent
    watch.on_progress("opening a container with the files as the run left them")
    process = subprocess.Popen(
        [
            *(sys.executable, "-P", "-c", _COMMAND, "fork", "--at", "end", "--recorded", "--json"),
            *(("-m", model) if model is not None else ()),
            *("--", run.id, request),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
        env={**operator.environ, "MOONPOOL_HOME": str(runs.parent)},
        text=True,
        errors="replace",
    )
    begun: SimpleQueue[str] = SimpleQueue()
    told: list[str] = []
    threading.Thread(target=_read_events, args=(process, runs, begun), daemon=True).start()
    complaints = threading.Thread(target=_read_words, args=(process, told, watch), daemon=True)
    complaints.start()
    with watch.interrupts.calling(lambda: _interrupt(process), up_to_s=_STOP_S):
        new = begun.get()
    with watch.interrupts.immediate():
        pass
    if not new:
        complaints.join(_STOP_S)
        said = next((line for line in reversed(told) if line.startswith("moonpool: ")), "")
        words = said.removeprefix("moonpool: ") or f"it ended with {process.wait()}"
        raise UsageError(f"it can't be sent back: {shortened(words)}")
    note(
        run.directory,
        Decision(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            by=operator.name,
            place=f"sent back: run {new}",
            reason=request,
        ),
    )
    return SentBack(run_id=new)


def _read_events(process: "subprocess.Popen[str]", runs: Path, begun: "SimpleQueue[str]") -> None:
    """Tell the new run's id once it tells anything, or an empty text where it never does."""
    assert process.stdout is not None
    told = False
    for _ in process.stdout:  # all of it: a full pipe would hold the run up
        if not told:
            begun.put(_run_of(process.pid, runs))
            told = True
    process.wait()
    if not told:
        begun.put("")


def _run_of(pid: int, runs: Path) -> str:
    """The newest run that a process began; empty where there is none."""
    for directory in sorted(runs.iterdir(), key=lambda path: path.name, reverse=True)[:_LOOKED_AT]:
        try:
            with (directory / EVENTS).open("rb") as file:
                first = json.loads(file.readline(_LINE_BYTES))
            if isinstance(first, dict) and first.get("pid") == pid:
                return str(directory.name)
        except (OSError, ValueError, AttributeError):
            continue
    return ""


def _read_words(process: "subprocess.Popen[str]", told: list[str], watch: ActionWatch) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        told.append(line.rstrip("\n"))
        del told[:-100]
        watch.on_progress(one_line(line, 300))


def _interrupt(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
