"""What a scheduler needs of whatever makes attempts.

An engine takes orders and reports how they ended, in any order and from any thread. How many it is
given at once is the scheduler's.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from agent.batch.order import AttemptEnd, AttemptOrder

Report = Callable[[AttemptOrder, AttemptEnd], None]
"""Called once for each order, from any thread."""


class AttemptEngine(Protocol):
    def submit(self, order: AttemptOrder, report: Report) -> None:
        """Begin an attempt. Returns at once."""

    def expect(self, orders: Sequence[AttemptOrder]) -> None:
        """Say which come next, those first that are submitted now, so that what they need may be
        made ready. The others may never come."""

    def interrupt(self, run_id: str, name: str) -> None:
        """Tell a run what `agent.interrupts` would: ``SIGINT`` to come to its end soon, anything
        else at once. No such run: nothing happens."""

    def close(self) -> tuple[str, ...]:
        """Remove what was made ready, and wait for what is being removed; gives what a person
        should be told. Nothing more will be submitted."""
