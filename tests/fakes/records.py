"""Records as tests have them: lines from rows that were read back, and the state they come to.

`FoldedTwin` stands beside every fake conversation and run: each event goes through JSON and back,
and what the twin folds of that has to be the state of the one that lives, at each event.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from agent.errors import RecordError
from agent.models.interface import Image
from agent.record.conversation_state import ConversationState
from agent.record.events.conversation import KeptImage
from agent.record.events.kinds import Event, Recorded, decode
from agent.record.events.lifecycle import RunStarted
from agent.record.events.recorded import RecordedModel, count_losses, plain
from agent.record.reader import RecordLine, read_record
from agent.record.run_state import RunState, apply
from agent.record.runs import run_in
from agent.record.store import EVENTS, HEAD, RunRecord
from agent.record.summary import RUNNING, summary_of

START = datetime(2026, 1, 1, tzinfo=UTC).isoformat()


def rows_of(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Those that are recorded as they stand in a record, read back as JSON."""
    rows = [event.json_object() for event in events if isinstance(event, RecordedModel)]
    return [
        json.loads(json.dumps({"seq": number, "time": START, "prev": "", **row}))
        for number, row in enumerate(rows)
    ]


def lines_from(rows: Sequence[Mapping[str, object]]) -> tuple[RecordLine, ...]:
    """What a reader makes of rows, told apart from how they hold together."""
    return tuple(
        RecordLine(
            time=datetime.fromisoformat(str(row["time"])),
            event=decode({key: row[key] for key in row if key not in HEAD}),
        )
        for row in rows
    )


def written_record(home: Path, *events: Recorded) -> Path:
    """The directory of a run whose record has these events."""
    record = RunRecord.create(home, run_id="r")
    for event in events:
        record.append(event.json_object())
    record.close()
    return record.directory


@dataclass
class FoldedTwin:
    """The state that a reader of the record has, beside the state of who writes it."""

    state: RunState = field(default_factory=RunState)
    cut: bool = False
    """Something was too long or too deep to be recorded whole: from there on the two differ."""
    _compared: dict[str, tuple[object, object]] = field(default_factory=dict)

    def take(self, event: Event, live: RunState) -> None:
        """One event was told; `live` is what it came to."""
        if not isinstance(event, RecordedModel):
            return
        row = json.loads(json.dumps(event.json_object()))
        read = decode(row)
        assert json.loads(json.dumps(read.json_object())) == row
        self.cut = self.cut or count_losses(read)[0] > 0
        self.state = apply(self.state, read, _images(live))
        if not self.cut:
            self._assert_same(live)

    def _assert_same(self, live: RunState) -> None:
        """The two say the same, as far as text that has a UTF-8 form can. They are values: a part
        in whose place neither has another since it was compared is the same still.
        """
        read_parts, live_parts = _parts(self.state), _parts(live)
        for name, read in read_parts.items():
            pair = (read, live_parts[name])
            before = self._compared.get(name, (None, None))
            if pair[0] is not before[0] or pair[1] is not before[1]:
                assert plain(pair[0]) == plain(pair[1]), name
                self._compared[name] = pair


def _images(live: RunState) -> Any:
    shown = {hashlib.sha256(image.data).hexdigest(): image for image in live.conversation.images}

    def recall(kept: KeptImage) -> Image | None:
        return shown.get(kept.sha256)

    return recall


def _parts(state: RunState) -> dict[str, object]:
    conversation = _newest(state.conversation)
    found = {one.name: getattr(state, one.name) for one in fields(state)}
    said = {f"said {one.name}": getattr(conversation, one.name) for one in fields(conversation)}
    return {**found, **said, "conversation": None}


def _newest(state: ConversationState) -> ConversationState:
    """With the newest messages only, the older ones counted: they were compared before."""
    older = len(state.history[:-3])
    shown = f"and {older} older messages"
    return replace(
        state,
        history=state.history[-3:],
        before=((), state.before[1]),
        first_request=f"{state.first_request} {shown} {len(state.before[0])}",
    )


def run_started(**more: object) -> RunStarted:
    """The first event of a run under some policy."""
    begun = RunStarted(
        run_id="r",
        began=START,
        task="mend it",
        workspace="/w",
        policy="p",
        policy_file="p.yaml",
        policy_rules={},
        rules_sha256="",
        kernel_policy="require",
        model="told:test",
        verify=None,
        version="0",
        pid=7,
    )
    return begun.replaced(more)


def check_recorded(run: Path) -> None:
    """What a process left of a run says one thing: each line is the event it reads as, and the
    summary is what the events come to. A record that a test tampered with is none."""
    if not (run / EVENTS).exists():
        return
    record = read_record(run)
    if record.fault:
        return
    state = RunState()
    written = (run / EVENTS).read_bytes().splitlines()
    for line, row in zip(record.lines, map(json.loads, written), strict=False):
        said = {key: row[key] for key in row if key not in HEAD}
        assert json.loads(json.dumps(line.event.json_object())) == said
        state = apply(state, line.event)
        kinds = [type(message) for message in state.conversation.history]
        assert all(one is not other for one, other in pairwise(kinds)), "turns alternate"
    try:
        summary = run_in(run).summary
    except RecordError:
        return
    if state.over is not None and summary.outcome != RUNNING:
        assert summary_of(state) == summary
