"""Where the events of a run go: into its state, then to its record, then to the screen.

Keeps going when the record can't be written any more: it says so once, by `RecordError`, and the
run then ends with its patch exported. A screen that is gone (a closed pipe) is no reason to end.
"""

import contextlib
from collections.abc import Callable, Iterable

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


class Journal:
    """Mutable: one to a run. `state` is what the events of the run come to so far."""

    def __init__(
        self,
        *,
        record: RunRecord | None,
        show: Show = unseen,
        interrupts: Interrupts,
        recall: Recall = nothing_kept,
        state: RunState | None = None,
        log: Iterable[Recorded] = (),
    ) -> None:
        """Args:
        record: None: nothing is kept.
        recall: gives the images that the model is shown, as they are kept.
        state: what the events came to that another process told, which are `log`.
        """
        self._record = record
        self._show = show
        self._interrupts = interrupts
        self._recall = recall
        self.state = state or RunState()
        self.log: list[Recorded] = list(log)
        """Everything told that is recorded, for the report."""

    def emit(self, event: Event) -> None:
        """Raises RecordError the first time the record can't be written."""
        # A signal must not come between a line and its digest, nor tear one on the screen; but a
        # screen may block for ever, so there the third breaks through.
        with self._interrupts.held():
            if not isinstance(event, RecordedModel):
                self._on_screen(event, None)
                return
            self.log.append(event)
            self.state = apply(self.state, event, self._recall)
            failure = None
            line = None
            if self._record is not None:
                try:
                    with self._interrupts.writing():
                        line = self._record.append(event.json_object())
                except RecordError as error:
                    self._record = None
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
            self._show(event, line)
