"""A run's record on disk: what happened, in an order nobody can change unnoticed.

    $MOONPOOL_HOME/runs/RUN-ID/
        run.json        the summary, replaced atomically
        events.jsonl    one JSON object a line, appended
        patch.diff      what to apply (patch.refused.diff where the gate refused it)
        report.html     for a person
        trajectory.json for the tools of others (`agent.record.trajectory`)
        run.log         for a person, too: `agent.record.run_log`
        baseline/       the old side of the changed files, for a three-way merge
        images/         those that the model was shown, by sha256
        applied/        what a chat's person applied on the way: `agent.record.applied_patch`
        applied_to.json where `moonpool apply` put the whole patch, the last time
        steps/          content of what the calls changed on the way, for `moonpool blame`

Each line of ``events.jsonl`` has: ``seq`` (from 0), ``time`` (RFC 3339, UTC), ``prev`` (sha256,
hex, of the line before without its newline; 64 zeros on the first), ``event`` (the kind) and that
kind's own fields, as `agent.record.events` defines them. A string longer than
`recorded.STRING_LIMIT` stands as ``{"head", "characters", "sha256"}``, bytes that are no UTF-8 as
``{"base64"}``. Lines are ASCII: no control character of a hostile repository stands in them
unescaped.

Who writes to a record holds a lock on its event file, which ends with the process, however that
ends: nobody else writes, and nobody takes the run up, while it is held.

Owns the files. Refuses to know what the events mean.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from agent.errors import RecordError, UsageError
from agent.record.events.recorded import REDACTED
from policies.errors import CarryingError
from sandbox.cache import write_atomically

SUMMARY = "run.json"
EVENTS = "events.jsonl"
PATCH = "patch.diff"
REFUSED_PATCH = "patch.refused.diff"
REPORT = "report.html"
TRAJECTORY = "trajectory.json"
BASELINE = "baseline"
APPLIED = "applied"
APPLIED_TO = "applied_to.json"
STEPS = "steps"
IMAGES = "images"

FIRST = "0" * 64
"""Stands on the first line for the digest of the one before."""
HEAD = ("seq", "time", "prev")
"""What a line has beside its event."""

_LOCK_TRIES, _LOCK_RETRY_S = 3, 0.01
_SHORTEST_SECRET = 8
# Keys of the usual shape are taken out wherever they come from, known to us or not. In JSON the
# character before one may stand escaped, and an escape ends in a letter or a digit.
_KEY_SHAPES = re.compile(
    r"(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt])|(?<=\\u[0-9a-f]{4}))sk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,}"
)
_CUT = re.compile(r'",\s+"characters": ')
"""Follows the head of a string that was cut (`recorded.CutText`)."""


def new_run_id(now: datetime | None = None) -> str:
    """Sortable to a 65536th of a second, then 16 random bits: ``20261121-031500-ab12cd34``."""
    now = now or datetime.now(UTC)
    fraction = (now.microsecond << 16) // 1_000_000
    return f"{now:%Y%m%d-%H%M%S}-{fraction:04x}{secrets.token_hex(2)}"


def runs_directory(home: Path) -> Path:
    return home / "runs"


def _now() -> datetime:
    return datetime.now(UTC)


class RunRecord:
    """The record of one run, open for appending."""

    def __init__(
        self,
        handle: int,
        directory: Path,
        *,
        previous: str = FIRST,
        lines: int = 0,
        known_secrets: tuple[str, ...] = (),
        clock: Callable[[], datetime] = _now,
    ) -> None:
        """Args:
        handle: of its event file, open, locked and whole; it is closed with the record.
        previous: the digest of its last line.
        lines: how many it has.
        known_secrets: values that must never be written, such as API keys.
        """
        self.directory = directory
        self.run_id = directory.name
        known = {s for s in known_secrets if len(s) >= _SHORTEST_SECRET}
        # In JSON a secret may stand escaped.
        forms = known | {json.dumps(s)[1:-1] for s in known}
        self._secrets = tuple(sorted(forms, key=len, reverse=True))
        self._clock = clock
        self._events = handle
        self._seq = lines
        self._previous = previous

    @classmethod
    def create(
        cls,
        home: Path,
        *,
        run_id: str | None = None,
        known_secrets: tuple[str, ...] = (),
        clock: Callable[[], datetime] = _now,
    ) -> Self:
        """Make the directory and the event file; for the owner's eyes only.

        Raises:
            RecordError: the place can't be written.
        """
        directory = runs_directory(home) / (run_id or new_run_id(clock()))
        try:
            directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            directory.mkdir(mode=0o700)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            handle = os.open(directory / EVENTS, flags, 0o600)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RecordError(
                f"the run's record can't be written to {directory}: {error.strerror}; "
                "set MOONPOOL_HOME to a place that can"
            ) from error
        return cls(handle, directory, known_secrets=known_secrets, clock=clock)

    def append(self, event: Mapping[str, object]) -> str:
        """Add one event; gives the line as it was written, without its newline.

        Raises:
            RecordError: the disk is full or gone.
        """
        time = self._clock().isoformat(timespec="milliseconds")
        head = {"seq": self._seq, "time": time, "prev": self._previous}
        line = self.redact(json.dumps({**head, **event}))
        data = line.encode("utf-8", "replace")
        try:
            _write_all(self._events, data + b"\n")
        except OSError as error:
            raise RecordError(
                f"the run's record can't be written on in {self.directory}: {error.strerror}; "
                "make room there, or set MOONPOOL_HOME to another place"
            ) from error
        self._previous = digest(data)
        self._seq += 1
        return data.decode()

    def redact(self, text: str) -> str:
        """Without what must never be written, or the beginning of it where a cut divided it."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        for cut in reversed(list(_CUT.finditer(text)) if self._secrets else ()):
            at = cut.start()
            head = text[max(0, at - len(self._secrets[0])) : at]
            begun = max(_begun(head, secret) for secret in self._secrets)
            if begun:
                text = text[: at - begun] + REDACTED + text[at:]
        return _KEY_SHAPES.sub(REDACTED, text)

    def write_summary(self, summary: Mapping[str, object]) -> None:
        text = self.redact(json.dumps(summary, indent=2))
        self._write(SUMMARY, text.encode("utf-8", "replace") + b"\n")

    def write_patch(self, name: str, data: bytes) -> Path:
        """Write a patch as it is: nothing is redacted in it, it is exact or worthless."""
        return self._write(name, data)

    def write_report(self, html: str) -> Path:
        return self._write(REPORT, self.redact(html).encode("utf-8", "replace"))

    def write_trajectory(self, document: Mapping[str, object]) -> Path:
        text = self.redact(json.dumps(document))
        return self._write(TRAJECTORY, text.encode("utf-8", "replace") + b"\n")

    def close(self) -> None:
        if self._events >= 0:
            os.close(self._events)
            self._events = -1

    def _write(self, name: str, data: bytes) -> Path:
        path = self.directory / name
        try:
            write_atomically(path, data)
        except OSError as error:
            raise RecordError(f"{path} can't be written: {error.strerror}") from error
        return path


class RecordHeld(CarryingError, UsageError):
    """Another process works on the run."""

    def __init__(self, run_id: str, pid: int) -> None:
        self.pid = pid
        """0 where that is not known."""
        who = f"process {pid}" if pid else "another process"
        super().__init__(f"run {run_id} is still being worked on, by {who}")


def digest(line: bytes) -> str:
    """The sha256, hex, of a line without its newline."""
    return hashlib.sha256(line).hexdigest()


def _begun(text: str, secret: str) -> int:
    """How many characters of a secret a text ends in; 0 for fewer than a secret has."""
    lengths = range(min(len(secret), len(text)), _SHORTEST_SECRET - 1, -1)
    return next((length for length in lengths if text.endswith(secret[:length])), 0)


def is_held(directory: Path) -> bool:
    """Whether a process works on the run of this directory, or that can't be told.

    By the lock, which ends with its process: a process id may be another's by now.
    """
    try:
        with (directory / EVENTS).open("rb") as events:
            fcntl.flock(events, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def lock(handle: int) -> bool:
    """Have an open file or folder for this process alone, as long as the process or the handle
    lives; False: another one has it. Raises OSError."""
    for tries_left in reversed(range(_LOCK_TRIES)):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if tries_left:
                time.sleep(_LOCK_RETRY_S)  # somebody may be looking who has it at this moment
        else:
            return True
    return False


def lock_holder(handle: int) -> int:
    """The process that holds a lock on a file, as the kernel lists it; 0: it can't be told."""
    status = os.fstat(handle)
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        with open("/proc/locks", encoding="ascii") as locks:
            for line in locks:
                words = line.split()
                if words[1] == "FLOCK" and device in words:
                    return max(0, int(words[words.index(device) - 1]))
    except (OSError, ValueError, IndexError):
        pass
    return 0


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
