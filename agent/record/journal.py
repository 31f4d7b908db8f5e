"""Where the events of a run go: first to its record, then to the screen.

Keeps going when the record can't be written any more: it says so once, by `RecordError`, and the
run then ends with its patch exported. A screen that is gone (a closed pipe) is no reason to end.
"""

import contextlib
from collections.abc import Callable

from agent.errors import RecordError
from agent.interrupts import Interrupts
from agent.record.events.encoding import encode
from agent.record.events.types import (
    BudgetUsed,
    Event,
    OutputPiece,
    Progress,
    TextDiscarded,
    TextPiece,
    ThinkingPiece,
)
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


class Journal:
    def __init__(self, *, record: RunRecord, show: Show, interrupts: Interrupts) -> None:
        self._record = record
        self._show = show
        self._interrupts = interrupts
        self._broken = False
        self.log: list[Event] = []
        """Everything told that is recorded, for the report."""

    def emit(self, event: Event) -> None:
        """Raises RecordError the first time the record can't be written."""
        # A signal must not come between a line and its digest, nor tear one on the screen; but a
        # screen may block for ever, so there the third breaks through.
        with self._interrupts.held():
            match event:
                case (
                    Progress()
                    | TextPiece()
                    | ThinkingPiece()
                    | TextDiscarded()
                    | OutputPiece()
                    | BudgetUsed()
                ):
                    self._on_screen(event, None)
                case _:
                    self.log.append(event)
                    failure = None
                    line = None
                    if not self._broken:
                        try:
                            with self._interrupts.writing():
                                line = self._record.append(encode(event))
                        except RecordError as error:
                            self._broken = True
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
