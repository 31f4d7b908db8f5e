"""A batch for a program: one JSON object a line, the last one the summary."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict

from agent.batch.watching.events import (
    AttemptBegun,
    AttemptDelayed,
    AttemptEnded,
    BatchEvent,
    BatchNotice,
    QueueSteered,
)
from agent.batch.watching.interface import Watcher


class JsonWatcher(Watcher):
    def __init__(self, write: Callable[[str], None]) -> None:
        """Args:
        write: takes a line without its end.
        """
        self._write = write

    def tell(self, event: BatchEvent) -> None:
        if not isinstance(event, QueueSteered):
            self._write(json.dumps(as_data(event)))


def as_data(
    event: AttemptBegun | AttemptDelayed | AttemptEnded | BatchNotice,
) -> Mapping[str, object]:
    """The JSON form, with its kind as ``event``."""
    match event:
        case AttemptBegun():
            return {"event": "attempt_begun", **asdict(event)}
        case AttemptDelayed():
            return {
                "event": "attempt_delayed",
                "wait_s": event.wait_s,
                "tries": event.tries,
                **event.result.json_object(),
            }
        case AttemptEnded():
            state = event.state.value
            return {"event": "attempt_ended", "state": state, **event.result.json_object()}
        case BatchNotice():
            return {"event": "notice", "text": event.text}
