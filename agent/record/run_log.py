"""``run.log`` beside a run's record: one line a step, for a person who looks for what went wrong.

    2026-11-21T10:15:00.123Z INFO    call 3: $ pytest -q (rule commands: pytest)

Beside the run's own steps stand there the warnings of the libraries underneath (the engine's, the
models', Python's own), which would else be strewn over the terminal, and the traceback of a defect
of ours. Nothing rests on it: it is bounded, not chained, and may be deleted. Text in it is hostile:
made visible, on one line, cut, and with secrets taken out as in the record. A traceback goes on
over lines that begin with ``  | ``.

Owns the file and its wording. Refuses to end or to delay a run: a log that can't be written is
given up silently.
"""

import json
import logging
import os
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.record import outcome as outcomes
from agent.record.events.conversation import (
    ApprovalAnswered,
    CallEnded,
    CallRefused,
    CallStarted,
    ModelCalled,
    ModelReplied,
    ModelRetry,
    UserMessageAdded,
)
from agent.record.events.kinds import (
    BudgetUsed,
    Event,
    OutputPiece,
    Progress,
    TextDiscarded,
    TextPiece,
    ThinkingPiece,
    call_in_words,
    decision_rule,
    taken_up_in_words,
)
from agent.record.events.lifecycle import (
    ChangesRescanned,
    ChangesTracked,
    ConversationEnded,
    Exported,
    ExportFailed,
    Notice,
    OpinionGiven,
    Resumed,
    ReviewerCalled,
    ReviewerReplied,
    ReviewStarted,
    RunEnded,
    RunStarted,
    SandboxReady,
    VerificationEnded,
)
from agent.record.outcome import Crashed, Finished, Outcome
from agent.risk.opinion import in_words as opinion_words
from agent.untrusted_text import one_line
from agent.verification import in_words

LOG = "run.log"
LARGEST_BYTES = 4 << 20
_RESERVE_BYTES = 1 << 20
"""Beyond the limit, warnings and errors may take as much again."""
_WIDTH = 2000
_TRACEBACK_LINES = 200

OWN = logging.getLogger("moonpool")
"""Where a defect of ours is told, with its traceback. Says nothing where no log is open."""
OWN.addHandler(logging.NullHandler())

_INFO, _WARNING, _ERROR = logging.INFO, logging.WARNING, logging.ERROR


class RunLog:
    """A context manager. Inside, Python's own logging and warnings go to the file.

    In a thread beside the main one there may be others at the same time: each has what is logged in
    its own thread, and Python's warnings in none.
    """

    def __init__(
        self,
        directory: Path,
        *,
        redact: Callable[[str], str],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.path = directory / LOG
        self._redact = redact
        self._clock = clock
        self._lock = threading.RLock()
        self._file = -1
        self._size = 0
        self._full = False
        self._handler = _Handler(self)

    def __enter__(self) -> Self:
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.open(self.path, flags, 0o600)
            self._size = os.fstat(self._file).st_size
        except OSError:
            self._file = -1
        if threading.current_thread() is threading.main_thread():
            logging.captureWarnings(True)
        else:
            own = threading.get_ident()
            self._handler.addFilter(lambda record: record.thread == own)
        logging.getLogger().addHandler(self._handler)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):
            self.failed("a defect of Moonpool", error)
        if threading.current_thread() is threading.main_thread():
            logging.captureWarnings(False)
        logging.getLogger().removeHandler(self._handler)
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
            self._file = -1

    def show(self, event: Event, _line: str | None = None) -> None:
        told = _told(event)
        if told is not None:
            self.write(*told)

    def write(self, level: int, text: str) -> None:
        """One line."""
        self._append(level, [one_line(self._redact(text), _WIDTH)])

    def failed(self, text: str, error: BaseException) -> None:
        """A line, and the traceback."""
        whole = self._redact("".join(traceback.format_exception(error))).splitlines()
        lines = [one_line(line, _WIDTH) for line in whole]
        if len(lines) > _TRACEBACK_LINES:
            lines[_TRACEBACK_LINES // 2 : -_TRACEBACK_LINES // 2] = ["…"]
        self._append(_ERROR, [one_line(self._redact(text), _WIDTH), *lines])

    def _append(self, level: int, lines: list[str]) -> None:
        time = self._clock().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head, *more = lines
        text = f"{time} {logging.getLevelName(level):<7} {head}\n"
        text += "".join(f"  | {line}\n" for line in more)
        data = text.encode("utf-8", "backslashreplace")
        with self._lock:
            left = LARGEST_BYTES - self._size
            if level > _INFO:
                left += _RESERVE_BYTES
            if self._file < 0 or (self._full and level <= _INFO):
                return
            if len(data) > left:
                if self._full:
                    return
                self._full = True
                data = f"{time} WARNING the log is full: only what went wrong follows\n".encode()
            try:
                self._size += os.write(self._file, data)
            except OSError:
                os.close(self._file)
                self._file = -1


class _Handler(logging.Handler):
    """Takes what Python's own logging has; a text of any library may be hostile."""

    def __init__(self, log: RunLog) -> None:
        super().__init__(level=logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = f"{record.name}: {record.getMessage()}"
            if record.exc_info and record.exc_info[1] is not None:
                self._log.failed(text, record.exc_info[1])
            else:
                self._log.write(record.levelno, text)
        except Exception as error:  # noqa: BLE001 - a library's odd message must not end a run
            self._log.write(_WARNING, f"{record.name}: a message that can't be told: {error!r}")


def _told(event: Event) -> tuple[int, str] | None:  # noqa: C901, PLR0911, PLR0912 - a line a kind
    match event:
        case TextDiscarded():
            return _WARNING, "the stream broke: what was shown of the answer is void"
        case Progress():
            return _INFO, event.text
        case TextPiece() | ThinkingPiece() | OutputPiece() | BudgetUsed():
            return None
        case RunStarted():
            words = f"run {event.run_id} of moonpool {event.version}, process {event.pid}: "
            words += f"{event.policy} policy, {event.model}, on {event.workspace}: {event.task}"
            return _INFO, words
        case Resumed():
            return _INFO, taken_up_in_words(event)
        case SandboxReady():
            if not event.kernel_enforced:
                return _WARNING, f"container {event.container}: the kernel does NOT enforce"
            return _INFO, f"container {event.container} ready after {event.seconds:.1f} s"
        case ModelCalled():
            return _INFO, f"turn {event.turn}: the model is asked, with {event.messages} messages"
        case ModelRetry():
            words = f"attempt {event.attempt} failed: {event.reason}"
            return _WARNING, f"{words}; again in {event.wait_s:.1f} s"
        case ModelReplied():
            return _INFO, _reply_words(event)
        case UserMessageAdded():
            return _INFO, f"told the model: {event.text}"
        case ApprovalAnswered():
            return _INFO, f"call {event.number}: a person was asked: {event.answer}"
        case CallStarted():
            words = call_in_words(event.tool, event.arguments)
            return _INFO, f"call {event.number}: {words} ({decision_rule(event.decision)})"
        case CallRefused():
            words = call_in_words(event.tool, event.arguments)
            return _WARNING, f"call {event.number}: {event.why}: {words}: {event.text}"
        case CallEnded():
            words = f"call {event.number}: {event.brief} after {event.seconds:.2f} s"
            if event.limits:
                words += f"; held to {', '.join(event.limits)}"
            if event.refused:
                words += f"; the kernel refused {', '.join(event.refused)}"
            bad = event.is_error or event.refused or event.limits
            return (_WARNING if bad else _INFO), words
        case ChangesTracked() | ChangesRescanned():
            words = f"{len(event.changed)} paths changed"
            if event.missed or event.unfollowed:
                return _WARNING, f"{words}; not followed: {event.unfollowed or event.missed}"
            return _INFO, words
        case Notice():
            return _WARNING, event.text
        case ConversationEnded():
            return _level(event.outcome), f"the agent ended: {_ended(event.outcome)}"
        case Exported():
            words = f"patch of {len(event.changes)} files and {event.patch_bytes} bytes"
            words += f" after {event.seconds:.1f} s, {len(event.findings)} findings: {event.path}"
            return (_WARNING if event.refused else _INFO), words
        case ExportFailed():
            return _ERROR, f"no patch: {event.message}"
        case VerificationEnded():
            return _INFO, f"verification: {in_words(event.result)}"
        case ReviewStarted():
            words = f"second opinion: {event.model} is asked, with {event.shown_bytes} bytes"
            return _INFO, words + (f"; not shown: {event.unshown}" if event.unshown else "")
        case ReviewerReplied():
            return _INFO, f"reviewer, turn {event.turn}: {event.reply.stop}, {event.seconds:.1f} s"
        case ReviewerCalled():
            words = f"{call_in_words(event.tool, event.arguments)}: {event.brief}"
            return (_WARNING if event.is_error else _INFO), f"reviewer, {event.number}: {words}"
        case OpinionGiven():
            return (_INFO if event.finding is None else _WARNING), opinion_words(event.opinion)
        case RunEnded():
            words = f"ended: {outcomes.name(event.outcome)}; exit code {event.exit_code}, "
            words += f"{event.turns} turns, {event.seconds:.1f} s"
            if event.container_left is not None:
                words += f"; container {event.container_left} still stands"
            return _level(event.outcome), words
        case _:
            return _INFO, json.dumps(event.json_object())


def _reply_words(event: ModelReplied) -> str:
    reply, used = event.reply, event.reply.usage
    words = f"turn {event.turn}: {reply.stop} after {event.seconds:.1f} s"
    words += f", {used.input_tokens + used.cache_write_tokens} tokens in"
    words += f", {used.cache_read_tokens} cached, {used.output_tokens} out"
    if reply.attempts > 1:
        words += f", attempt {reply.attempts}"
    if reply.request_id:
        words += f", request {reply.request_id}"
    return f"{words} {reply.detail}".rstrip()


def _ended(outcome: Outcome) -> str:
    words = outcomes.detail(outcome)
    return f"{outcomes.name(outcome)}: {words}" if words else outcomes.name(outcome)


def _level(outcome: Outcome) -> int:
    match outcome:
        case Finished():
            return _INFO
        case Crashed():
            return _ERROR
        case _:
            return _WARNING
