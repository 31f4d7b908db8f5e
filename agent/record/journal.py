"""Where the events of a run go: into its state, then to its record, then to the screen.

Keeps going when the record can't be written any more: it says so once, by `RecordError`, and the
run then ends with its patch exported. A screen that is gone (a closed pipe) is no reason to end.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.errors import RecordError
from agent.interrupts import Interrupts
from agent.record.conversation_state import Recall, nothing_kept
from agent.record.events.kinds import Event, Recorded
from agent.record.events.recorded import RecordedModel
from agent.record.run_state import RunState, apply
from agent.record.store import RunRecord

Show = Callable[[Event, str | None], None]
"""Gets each event, with its line in the record where it has one."""


def each(*listeners: Show) -> Show:
    """One that tells all of them; one whose reader left keeps no other from hearing."""

    def show(event: Event, line: str | None) -> None:
        for listener in listeners:
            with contextlib.suppress(OSError):
                listener(event, line)

    return show


def unseen(_event: Event, _line: str | None) -> None:
    """Shows nothing."""


@dataclass(kw_only=True, eq=False)
class Journal:
    """Mutable: one to a run."""

    record: RunRecord | None
    """None: nothing is kept, or it can't be written any more."""
    show: Show = unseen
    interrupts: Interrupts
    recall: Recall = nothing_kept
    """Gives the images that the model is shown, as they are kept."""
    state: RunState = field(default_factory=RunState)
    """What the events of the run come to so far, those that another process told included."""
    log: list[Recorded] = field(default_factory=list)
    """Everything told that is recorded, for the report."""

    def emit(self, event: Event) -> None:
        """Raises RecordError the first time the record can't be written."""
        # A signal must not come between a line and its digest, nor tear one on the screen; but a
        # screen may block for ever, so there the third breaks through.
        with self.interrupts.held():
            if not isinstance(event, RecordedModel):
                self._on_screen(event, None)
                return
            self.log.append(event)
            self.state = apply(self.state, event, self.recall)
            failure = None
            line = None
            if self.record is not None:
                try:
                    with self.interrupts.writing():
                        line = self.record.append(event.json_object())
                except RecordError as error:
                    self.record = None
                    failure = error
            self._on_screen(event, line)
            if failure is not None:
                raise failure

    def quietly(self, event: Event) -> None:
        """Tell, where a record that can't be written must not stop what is left to do."""
        with contextlib.suppress(RecordError):
            self.emit(event)

    def _on_screen(self, event: Event, line: str | None) -> None:
        with contextlib.suppress(OSError):
            self.show(event, line)
