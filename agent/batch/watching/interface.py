"""What shows a batch: it hears what happens, and is asked some times a second to show how it is."""

from typing import Protocol

from agent.batch.watching.events import BatchEvent


class Watcher(Protocol):
    def tell(self, event: BatchEvent) -> None:
        """Something happened; the tally has heard of it."""

    def refresh(self) -> None:
        """Show what runs now, if it is time to."""

    def close(self) -> None:
        """Give the terminal back."""
