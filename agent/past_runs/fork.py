"""A new run that begins where a call of another one had ended.

From the record come the conversation so far and, from its ``steps``, what the workspace was then.
A point where either is not known is none: it is said why, and which one is the nearest that works.
Of what the record holds nothing is believed: paths, modes and the content's ids are checked here,
and the result is looked at in the container (`sandbox.restore`).

Owns the points, and the lines that the new run's record begins with. Refuses to know the terminal,
and where a box comes from.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.conversation.resume_state import Recall, ResumeState, nothing_kept, resume_state_of
from agent.errors import RecordError, UsageError
from agent.models.interface import AssistantMessage, Usage, uses_of
from agent.record.events.decoding import decode
from agent.record.events.encoding import encode, plain
from agent.record.events.types import (
    CallEnded,
    CallRefused,
    CallStarted,
    ChangesRescanned,
    ChangesTracked,
    Forked,
    ForkedFrom,
    Resumed,
    RunStarted,
    TrackedFile,
    UserMessageAdded,
    WorkspaceRestored,
)
from agent.record.events.wording import call_in_words
from agent.record.images import ImageStore
from agent.tools import registry
from sandbox.errors import PatchError
from sandbox.git.manifest import EXECUTABLE, FILE, SYMLINK, ManifestEntry
from sandbox.git.path_rules import carried
from sandbox.git.store import Store
from sandbox.restore.mark import Mark
from sandbox.restore.tracking import FILE_LIMIT_BYTES

Row = Mapping[str, object]

FORKED_HERE = "Not run: forked here. Make the call again if you still want it."
NEWS = (
    "This session goes on in another container, forked from this point: the files of the workspace "
    "are as they were here. Files that the repository ignores, what git keeps in .git, /tmp, the "
    "working directory and exported variables are as at the start, and nothing runs."
)
END = -1
"""As a call: after everything that was said."""

_OF_THE_OTHER_RUN = frozenset(
    {
        *("run_started", "resumed", "forked", "sandbox_ready", "request_awaited", "notice"),
        "patch_applied",
        *("model_retry", "conversation_ended", "exported", "export_failed"),
        *("verification_ended", "run_ended"),
    }
)
"""Lines that tell of its containers, its ends and its patch; the rest is the conversation."""
_MODES = frozenset({FILE, EXECUTABLE, SYMLINK})


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkPoint:
    """The end of a call."""

    call: int
    """0: before the first one."""
    words: str
    """What it was; hostile text."""
    ending: str
    """How it ended, in a word or two."""
    lines: int
    """Of the record, up to there: the conversation."""
    looks: int
    """Up to the next call that may change a file: a look before that still shows these files."""
    why: str
    """Why nothing can be forked there; empty where it can."""


@dataclass
class RecordedFiles:
    """What the workspace was, as looks at it tell."""

    changed: dict[bytes, TrackedFile] = field(default_factory=dict)
    """Everything that is not, or was once not, as in the baseline."""
    _missed: set[bytes] = field(default_factory=set)
    _waiting: int | None = None
    """The first call that may have changed something and that no look covers."""
    _unseen: str = ""
    _lost: str = ""

    @property
    def why(self) -> str:
        """Why it is not known; empty where it is."""
        if self._lost:
            return self._lost
        if self._waiting is not None:
            return self._unseen or f"the workspace was not looked at after call {self._waiting}"
        if self._missed:
            path = min(self._missed).decode("utf-8", "backslashreplace")
            return f"the content of {path} was not kept: it is too large"
        return ""

    def checked(self) -> dict[bytes, TrackedFile]:
        """What is not as in the baseline.

        Raises:
            RecordError: a path or a mode is none that a run of ours writes.
        """
        return {path: item for path, item in self.changed.items() if _checked(item)}

    def take(self, event: object) -> None:
        match event:
            case CallEnded() if event.tool in registry.WRITING and self._waiting is None:
                self._waiting = event.number
            case ChangesTracked():
                self._follow(event)
            case ChangesRescanned() | WorkspaceRestored():
                self._lost = self._unseen = ""
                if event.unfollowed is not None and not event.changed and not event.missed:
                    self._lost = f"what stood there is not known: {event.unfollowed}"
                self.changed = {item.path: item for item in event.changed}
                self._missed = set(event.missed)
                self._waiting = None

    def _follow(self, event: ChangesTracked) -> None:
        if event.gap:
            self._lost = "changes before it were too many to be recorded"
        if event.unfollowed is not None and not event.changed and not event.missed:
            self._unseen = event.unfollowed
            return
        self._waiting, self._unseen = None, ""
        for item in event.changed:
            self.changed[item.path] = item
            self._missed.discard(item.path)
        self._missed |= set(event.missed)


def points(rows: Sequence[Row]) -> list[ForkPoint]:
    """Every end of a call in a record, and what was before the first one.

    Raises:
        RecordError: a line has not the shape that we write.
    """
    files = RecordedFiles()
    open_points: list[ForkPoint] = []
    found: dict[int, ForkPoint] = {}
    words = ""

    def settle(looks: int) -> None:
        for point in open_points:
            # A call is told a second time by a process that took the turn up again: that counts.
            found[point.call] = replace(point, looks=looks, why=files.why)
        open_points.clear()

    for number, row in enumerate(rows):
        event = decode(row)
        if not found and not open_points and row.get("event") == "model_called":
            open_points.append(_point(0, "the task", "asked", number))
        if _changes(event):
            settle(number)
        files.take(event)
        match event:
            case CallStarted():
                words = call_in_words(event.tool, event.arguments)
            case CallEnded():
                open_points.append(_point(event.number, words, _ending(event), number + 1))
            case CallRefused():
                words = call_in_words(event.tool, event.arguments)
                open_points.append(_point(event.number, words, event.why, number + 1))
    settle(len(rows))
    return [found[call] for call in sorted(found)]


def _changes(event: object) -> bool:
    """Whether the workspace may be another one after it."""
    match event:
        case CallStarted():
            return event.tool in registry.WRITING
        case Resumed() | Forked() | WorkspaceRestored():
            return True
        case _:
            return False


def _point(call: int, words: str, ending: str, lines: int) -> ForkPoint:
    return ForkPoint(call=call, words=words, ending=ending, lines=lines, looks=lines, why="")


def _ending(event: CallEnded) -> str:
    if event.exit_code is not None:
        return f"exit {event.exit_code}"
    return "error" if event.is_error else "ok"


def at(rows: Sequence[Row], call: int, run_id: str) -> ForkPoint:
    """The point after a call, or after all of it (`END`).

    Raises:
        UsageError: there is none, or nothing can be forked there; names the nearest that works.
    """
    known = points(rows)
    if call == END:
        files = RecordedFiles()
        for row in rows:
            files.take(decode(row))
        last = max((point.call for point in known), default=0)
        point = replace(_point(last, "the end", "", len(rows)), why=files.why)
    else:
        match [point for point in known if point.call == call]:
            case [point]:
                pass
            case _:
                last = max((point.call for point in known), default=0)
                raise UsageError(
                    f"run {run_id} has no call {call}: its last is {last}; "
                    f"`moonpool fork {run_id}` lists them"
                )
    if point.why:
        working = [other.call for other in known if not other.why]
        nearest = min(working, key=lambda other: (abs(other - point.call), other), default=None)
        instead = "" if nearest is None else f"; the nearest that can be is --at {nearest}"
        raise UsageError(
            f"run {run_id} can't be forked after call {point.call}: {point.why}{instead}"
        )
    return point


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """What a new run begins with."""

    started: RunStarted
    """Of the other run."""
    origin: ForkedFrom
    rows: tuple[Mapping[str, object], ...]
    """Events for the new record, after its first line."""
    files: Mapping[bytes, TrackedFile]


def fork(
    rows: Sequence[Row],
    point: ForkPoint,
    *,
    run_id: str,
    task: str | None,
    recall: Recall = nothing_kept,
) -> Fork:
    """Everything up to a point, as the lines of another run.

    Args:
        recall: gives an image that the model was shown, or None.
        task: said to the model then; None: it goes on with what it was asked.

    Raises:
        UsageError: the run had finished, and there is nothing to go on with.
        RecordError: the conversation is not recorded to the letter where it has to be.
    """
    before = rows[: point.lines]
    past = resume_state_of(before, recall)
    if not past.lossy.exact_thinking:
        raise RecordError("the model's thinking could not be recorded to the letter")
    files = RecordedFiles()
    for row in rows[: point.looks]:
        files.take(decode(row))
    looks = [
        row for row in rows[point.lines : point.looks] if row.get("event") == "changes_tracked"
    ]
    unsaid = _unanswered(past)
    if task is None and _answered(past):
        raise UsageError(
            f"run {run_id} had finished there: say what is to be done next, as in "
            f'`moonpool fork {run_id} --at end "now write the tests"`'
        )
    said = [
        UserMessageAdded(text=NEWS),
        *([] if task is None else [UserMessageAdded(text=task, what="request")]),
    ]
    return Fork(
        started=past.started,
        origin=ForkedFrom(run_id=run_id, call=point.call),
        rows=(
            *_conversation([*before, *looks]),
            *(encode(event) for event in unsaid),
            *(encode(event) for event in said),
        ),
        files=files.checked(),
    )


def _answered(past: ResumeState) -> bool:
    """The model had said its last word on what it was asked."""
    if past.turn is not None:
        return not uses_of(past.turn.reply)
    return not past.history or isinstance(past.history[-1], AssistantMessage)


def _unanswered(past: ResumeState) -> list[CallRefused]:
    """Results for the calls of a turn that were still to come: a provider insists on them."""
    turn = past.turn
    rest = [] if turn is None else uses_of(turn.reply)[len(turn.results) :]
    return [
        CallRefused(
            number=number,
            tool_use_id=use.id,
            tool=use.name,
            arguments=use.arguments,
            why="stopped",
            decision=None,
            text=FORKED_HERE,
        )
        for number, use in enumerate(rest, past.calls + 1)
    ]


def _conversation(rows: Sequence[Row]) -> Iterator[Mapping[str, object]]:
    """The lines as they were, but for their place in the chain, and what was spent: a fork has the
    whole budget of its policy."""
    for row in rows:
        if row.get("event") in _OF_THE_OTHER_RUN:
            continue
        copied = {key: row[key] for key in row if key not in {"seq", "time", "prev"}}
        if "used" in copied:
            copied["used"] = plain(Usage())
        if "turn" in copied:
            copied["turn"] = 0
        if copied.get("usd") is not None:
            copied["usd"] = 0.0
        yield copied


def _checked(item: TrackedFile) -> bool:
    """Raises `RecordError` for what no run of ours writes."""
    parts = item.path.split(b"/")
    gone = item.blob is None and item.mode == 0
    if (
        not carried(item.path)
        or b".git" in parts[:-1]
        or not (gone or (item.blob is not None and item.mode in _MODES))
    ):
        raise RecordError(
            f"the record has what no run writes, as the path or mode of a file: {item.path!r:.200}"
        )
    return True


def mark_of(files: Mapping[bytes, TrackedFile], store: Path) -> Mark:
    """These files as a mark; their content lies in the store.

    Raises:
        PatchError: a content is not there.
    """
    kept = Store(store)
    return Mark(
        store=store,
        changed={
            path: None
            if item.blob is None
            else ManifestEntry(item.mode, item.blob, kept.size(item.blob))
            for path, item in files.items()
        },
    )


def keep_steps(fork: Fork, steps: Path, target: Path) -> None:
    """Copy the content that the lines name from one run's ``steps`` to another place.

    Raises:
        RecordError: one is gone, or was changed since.
    """
    blobs = set()
    for row in fork.rows:
        event = decode(row)
        if isinstance(event, ChangesTracked | ChangesRescanned | WorkspaceRestored):
            blobs |= {item.blob for item in event.changed if item.blob is not None}
    if not blobs:
        return
    if not steps.is_dir():
        raise RecordError(f"{steps} is gone: nothing can be forked that changed a file")
    try:
        old, new = Store(steps), Store(target)
        for blob in sorted(blobs):
            size = old.size(blob)
            # As much as a look takes: what lies there may have been made to burst.
            if size > FILE_LIMIT_BYTES or new.put(old.read(blob), size) != blob:
                raise RecordError(f"the content {blob} in {steps} was changed since")
    except PatchError as error:
        raise RecordError(f"a content in {steps} can't be used: {error}") from error


def keep_images(fork: Fork, recall: Recall, target: ImageStore) -> None:
    """Keep the images that the lines name, as far as they are still there.

    Raises:
        RecordError: one can't be written.
    """
    for row in fork.rows:
        event = decode(row)
        if isinstance(event, CallEnded):
            for image in filter(None, map(recall, event.images)):
                target.keep(image)


def first_line(fork: Fork, **changes: object) -> RunStarted:
    """The line that the new run's record begins with: the other's, with what is its own."""
    return replace(fork.started, forked_from=fork.origin, **changes)  # type: ignore[arg-type]
