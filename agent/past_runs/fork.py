"""A new run that begins where a call of another one had ended.

From the record come the conversation so far and, from its ``steps``, what the workspace was then.
Of what the record holds nothing is believed: paths, modes and the content's ids are checked here,
and the result is looked at in the container (`sandbox.restore`).

Owns the lines that the new run's record begins with. Refuses to know the terminal, and where a
sandbox comes from.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from agent.conversation.resume_state import ResumeState, resume_state_of
from agent.errors import RecordError, UsageError
from agent.models.interface import AssistantMessage, Usage, uses_of
from agent.past_runs.fork_points import ForkPoint
from agent.record.conversation_state import Recall, nothing_kept
from agent.record.events.conversation import (
    ApprovalAnswered,
    CallEnded,
    CallRefused,
    CallStarted,
    ContextShown,
    HistorySummarised,
    ImagesWithdrawn,
    ModelCalled,
    ModelReplied,
    RequestWithdrawn,
    ResultsCleared,
    ResultsShortened,
    TextFormChosen,
    UserMessageAdded,
)
from agent.record.events.kinds import Recorded
from agent.record.events.lifecycle import (
    ChangesTracked,
    ForkedFrom,
    RunStarted,
    TrackedFile,
    WorkspaceLook,
)
from agent.record.kept import keep_image
from agent.record.reader import RecordLine
from agent.record.run_state import entries_of
from policies.frozen import dataclass
from sandbox.errors import PatchError
from sandbox.git.store import Store
from sandbox.tracking import FILE_LIMIT_BYTES, Mark

FORKED_HERE = "Not run: forked here. Make the call again if you still want it."
NEWS = (
    "This session goes on in another container, forked from this point: the files of the workspace "
    "are as they were here. Files that the repository ignores, what git keeps in .git, /tmp, the "
    "working directory and exported variables are as at the start, and nothing runs."
)

_CONVERSATION = (
    *(ModelCalled, ModelReplied, ResultsShortened, ResultsCleared, HistorySummarised),
    *(UserMessageAdded, ContextShown, TextFormChosen, ImagesWithdrawn, RequestWithdrawn),
    *(CallStarted, CallRefused, CallEnded, ApprovalAnswered, WorkspaceLook),
)
"""What of another run is taken over; the other events tell of its containers, its ends, its bills,
its patch and who judged that."""
_NOTHING_SPENT = {"used": Usage(), "turn": 0, "usd": 0.0}
"""A fork has the whole budget of its policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """What a new run begins with."""

    started: RunStarted
    """The first event of the other run."""
    origin: ForkedFrom
    events: tuple[Recorded, ...]
    """For the new record, after its first line."""
    files: Mapping[bytes, TrackedFile]
    """Everything that is not, or was once not, as in the baseline."""


def fork(
    lines: Sequence[RecordLine],
    point: ForkPoint,
    *,
    run_id: str,
    task: str | None,
    recall: Recall = nothing_kept,
) -> Fork:
    """Everything up to a point, as the events of another run.

    Args:
        recall: gives an image that the model was shown, or None.
        task: said to the model then; None: it goes on with what it was asked.

    Raises:
        UsageError: the run had finished, and there is nothing to go on with.
        RecordError: the conversation is not recorded to the letter where it has to be.
    """
    before = lines[: point.lines]
    past = resume_state_of(before, recall)
    if not past.lossy.exact_thinking:
        raise RecordError("the model's thinking could not be recorded to the letter")
    looks = [
        line.event
        for line in lines[point.lines : point.looks]
        if isinstance(line.event, ChangesTracked)
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
    told = (line.event for line in before)
    return Fork(
        started=past.started,
        origin=ForkedFrom(run_id=run_id, call=point.call),
        events=(*_conversation([*told, *looks]), *unsaid, *said),
        files=point.files.checked(),
    )


def _answered(past: ResumeState) -> bool:
    """The model had said its last word on what it was asked."""
    conversation = past.conversation
    if conversation.turn is not None:
        return not uses_of(conversation.turn.reply)
    history = conversation.history
    return not history or isinstance(history[-1], AssistantMessage)


def _unanswered(past: ResumeState) -> list[CallRefused]:
    """Results for the calls of a turn that were still to come: a provider insists on them."""
    conversation = past.conversation
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
        for number, use in enumerate(conversation.unanswered, conversation.calls + 1)
    ]


def _conversation(events: Iterable[Recorded]) -> Iterator[Recorded]:
    for event in events:
        if not isinstance(event, _CONVERSATION):
            continue
        fields = event.recorded_fields
        update = {name: value for name, value in _NOTHING_SPENT.items() if name in fields}
        if getattr(event, "usd", None) is None:
            update.pop("usd", None)
        yield event.replaced(update)


def mark_of(files: Mapping[bytes, TrackedFile], store: Path) -> Mark:
    """These files as a mark; their content lies in the store.

    Raises:
        PatchError: a content is not there.
    """
    return Mark(store=store, changed=entries_of(files, Store(store)))


def contents_of(events: Iterable[Recorded]) -> set[str]:
    """Ids of the contents that looks at the workspace found."""
    return {
        item.blob
        for event in events
        if isinstance(event, WorkspaceLook)
        for item in event.changed
        if item.blob is not None
    }


def keep_steps(fork: Fork, steps: Path, target: Path) -> None:
    """Copy the content that the events name from one run's ``steps`` to another place.

    Raises:
        RecordError: one is gone, or was changed since.
    """
    blobs = contents_of(fork.events)
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


def keep_images(fork: Fork, recall: Recall, target: Path) -> None:
    """Keep the images that the events name, as far as they are still there.

    Raises:
        RecordError: one can't be written.
    """
    for event in fork.events:
        if isinstance(event, CallEnded):
            for image in filter(None, map(recall, event.images)):
                keep_image(target, image)
