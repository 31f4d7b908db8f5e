"""From the lines of a record back to values: what a resumed run and its report are made of.

Owns the way back of `agent.events.encode`, for the events that a conversation consists of. What
was cut or redacted when it was written stays so, and is counted. Everything is checked: a line that
does not have the shape we write is an error, never a guess.
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from enum import Enum
from typing import Any, cast

from agent.config.instructions import OperatorInstructions
from agent.errors import RecordError
from agent.models.interface import AssistantMessage, Opaque, Reply, StopReason, Text, ToolUse, Usage
from agent.record import outcome as outcomes
from agent.record.events.encoding import REDACTED, TOO_DEEP
from agent.record.events.types import (
    ApprovalAnswered,
    CallEnded,
    CallRefused,
    CallStarted,
    ChangesRescanned,
    ChangesTracked,
    ContextShown,
    ConversationEnded,
    Forked,
    ForkedFrom,
    HistorySummarised,
    ImagesWithdrawn,
    KeptImage,
    ModelCalled,
    ModelReplied,
    ModelRetry,
    Notice,
    Recorded,
    ReplyDiscarded,
    RequestAwaited,
    RequestWithdrawn,
    ResultsCleared,
    ResultsShortened,
    Resumed,
    RunStarted,
    SandboxReady,
    ShownFile,
    TrackedFile,
    UserMessageAdded,
    WorkspaceRestored,
)
from policies.decision import Allow, Ask, Deny
from sandbox.container.mounts import HeldVolume, Overlay, Scratch
from sandbox.patch.values import Change, ChangeKind, LeftOut
from sandbox.reattach import ContainerState
from sandbox.results import Ending

NOT_WHOLE = (
    "the program that runs this session ended before this call was made, and its arguments were "
    "too long to record, or held a secret. Make it again if you still want it."
)

_EVENTS: dict[str, type] = {
    "run_started": RunStarted,
    "sandbox_ready": SandboxReady,
    "resumed": Resumed,
    "forked": Forked,
    "model_called": ModelCalled,
    "model_replied": ModelReplied,
    "model_retry": ModelRetry,
    "reply_discarded": ReplyDiscarded,
    "results_shortened": ResultsShortened,
    "results_cleared": ResultsCleared,
    "history_summarised": HistorySummarised,
    "user_message_added": UserMessageAdded,
    "context_shown": ContextShown,
    "call_started": CallStarted,
    "call_refused": CallRefused,
    "call_ended": CallEnded,
    "approval_answered": ApprovalAnswered,
    "images_withdrawn": ImagesWithdrawn,
    "changes_tracked": ChangesTracked,
    "changes_rescanned": ChangesRescanned,
    "workspace_restored": WorkspaceRestored,
    "notice": Notice,
    "request_awaited": RequestAwaited,
    "request_withdrawn": RequestWithdrawn,
    "conversation_ended": ConversationEnded,
}
"""Others are not needed again as values."""

_VALUES: dict[str, type] = {
    "reply": Reply,
    "assistant_message": AssistantMessage,
    "text": Text,
    "tool_use": ToolUse,
    "opaque": Opaque,
    "usage": Usage,
    "allow": Allow,
    "ask": Ask,
    "deny": Deny,
    "container_state": ContainerState,
    "scratch": Scratch,
    "held_volume": HeldVolume,
    "overlay": Overlay,
    "left_out": LeftOut,
    "forked_from": ForkedFrom,
    "tracked_file": TrackedFile,
    "kept_image": KeptImage,
    "shown_file": ShownFile,
    "operator_instructions": OperatorInstructions,
    "finished": outcomes.Finished,
    "limit_reached": outcomes.LimitReached,
    "gave_up": outcomes.GaveUp,
    "refused": outcomes.Refused,
    "interrupted": outcomes.Interrupted,
    "model_failed": outcomes.ModelFailed,
    "sandbox_failed": outcomes.SandboxFailed,
    "record_failed": outcomes.RecordFailed,
    "crashed": outcomes.Crashed,
    "cut_short": outcomes.CutShort,
}

_ENUMS: dict[tuple[type, str], type[Enum]] = {
    (Reply, "stop"): StopReason,
    (outcomes.LimitReached, "limit"): outcomes.RunLimit,
    (CallEnded, "ending"): Ending,
}
_BYTES = {(LeftOut, "path"), (TrackedFile, "path")}
_BYTES_LISTS = {
    (ChangesTracked, "missed"),
    (ChangesRescanned, "missed"),
    (WorkspaceRestored, "missed"),
}
_LOSSY = {
    "model_replied",
    "call_ended",
    "call_refused",
    "user_message_added",
    "context_shown",
    "history_summarised",
}
"""Lines of which the model reads something."""
_VERBATIM = {"arguments", "extra", "raw", "seal", "lossy", "policy_rules"}
"""Fields that hold JSON as it came; what is in them is nobody's ``type``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lossy:
    """What of a record is no longer what it was."""

    cut: int
    """Strings that were too long to record whole."""
    redacted: int
    exact_thinking: bool
    """Blocks that only their provider understands must go back as they came, or not at all."""


def decode(row: Mapping[str, object]) -> Recorded | None:
    """One line as the event it was; None for a kind that is not needed again.

    Raises:
        RecordError: it has not the shape that we write.
    """
    made = _EVENTS.get(str(row.get("event")))
    if made is None:
        return None
    try:
        return cast("Recorded", _built(made, row))
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(
            f"line {row.get('seq')} of the record is not one that this version writes: {error!r}"
        ) from error


def _built(made: type, row: Mapping[str, object]) -> object:
    values: dict[str, Any] = {}
    for item in fields(made):
        if item.name not in row and _has_default(item):
            continue  # a field that an older version did not write
        value = row[item.name]
        enum = _ENUMS.get((made, item.name))
        if item.name in _VERBATIM:
            values[item.name] = _mapping(value)
        elif enum is not None and value is not None:
            values[item.name] = enum(value)
        elif (made, item.name) in _BYTES:
            values[item.name] = recorded_bytes(value)
        elif (made, item.name) in _BYTES_LISTS:
            values[item.name] = tuple(map(recorded_bytes, cast("list[object]", value)))
        else:
            values[item.name] = _value(value)
    if made is ToolUse and not values["problem"] and not _as_it_was(row["arguments"]):
        values["problem"] = NOT_WHOLE
    return made(**values)


def _has_default(item: "Field[Any]") -> bool:
    return item.default is not MISSING or item.default_factory is not MISSING


def _as_it_was(value: object) -> bool:
    """Whether nothing in it was left out when it was recorded."""
    return not any(
        _is_cut(item) or (isinstance(item, str) and (REDACTED in item or item == TOO_DEEP))
        for item in _walk(value)
    )


def _value(value: object) -> object:
    match value:
        case list():
            return tuple(_value(item) for item in value)
        case {"head": str() as head, "characters": int() as count, "sha256": str()}:
            return cut_words(head, count)
        case {"type": str() as kind, **rest}:
            return _built(_VALUES[kind], cast("Mapping[str, object]", rest))
        case dict():
            raise TypeError("an object without a type")
        case _:
            return value


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    # Itself it is never a cut string, whatever keys the model gave it.
    return {key: _uncut(item) for key, item in value.items()}


def _uncut(value: object) -> object:
    """JSON as it came, with what was cut in it as text that says so."""
    match value:
        case {"head": str() as head, "characters": int() as count} if _is_cut(value):
            return cut_words(head, count)
        case dict():
            return {key: _uncut(item) for key, item in value.items()}
        case list():
            return [_uncut(item) for item in value]
        case _:
            return value


def cut_words(head: str, characters: int) -> str:
    return f"{head}\n[cut: {characters - len(head)} more characters were not recorded]"


def recorded_bytes(value: object) -> bytes:
    match value:
        case str():
            return value.encode()
        case {"base64": str() as text}:
            return base64.b64decode(text)
        case _:
            raise TypeError("not bytes")


def recorded_changes(rows: object) -> tuple[Change, ...]:
    """The changes of a patch, as a summary or an ``exported`` line lists them.

    Raises:
        RecordError: they have not the shape that we write.
    """
    try:
        return tuple(_change(row) for row in cast("list[Mapping[str, Any]]", rows))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(
            f"the record's list of changes is not one that this version writes: {error!r}"
        ) from error


def _change(row: Mapping[str, Any]) -> Change:
    old_path = row["old_path"]
    return Change(
        path=recorded_bytes(row["path"]),
        old_path=None if old_path is None else recorded_bytes(old_path),
        kind=ChangeKind(row["kind"]),
        old_mode=int(row["old_mode"]),
        new_mode=int(row["new_mode"]),
        added_lines=row["added_lines"],
        deleted_lines=row["deleted_lines"],
        old_blob=str(row["old_blob"]),
        new_blob=str(row["new_blob"]),
    )


def whole(value: object) -> bool:
    """Nothing in it was cut or redacted when it was written."""
    return not any(
        _is_cut(item) or (isinstance(item, str) and REDACTED in item) for item in _walk(value)
    )


def losses(rows: list[Mapping[str, object]]) -> Lossy:
    """What can't be given back as it was, over the lines of a conversation."""
    cut = redacted = 0
    exact = True
    for row in rows:
        if row.get("event") not in _LOSSY:
            continue
        cut += sum(1 for item in _walk(row) if _is_cut(item))
        redacted += sum(1 for item in _walk(row) if isinstance(item, str) and REDACTED in item)
        # Not by walking the line: in the arguments of a call anything may call itself opaque.
        match row:
            case {"reply": {"message": {"blocks": [*blocks]}}}:
                exact = exact and all(
                    _as_it_was(block)
                    for block in blocks
                    if isinstance(block, dict) and block.get("type") == "opaque"
                )
            case {"event": "history_summarised", "block": dict() as block}:
                exact = exact and _as_it_was(block)
    return Lossy(cut=cut, redacted=redacted, exact_thinking=exact)


def _is_cut(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"head", "characters", "sha256"}


def _walk(value: object) -> Iterator[object]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        yield item
        if isinstance(item, Mapping):
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
