"""What shows a batch: it hears what happens, and is asked some times a second to show how it is."""

from abc import ABC, abstractmethod

from agent.batch.watching.events import BatchEvent


class Watcher(ABC):
    """One that has nothing to show but what happens says no more than how."""

    @abstractmethod
    def tell(self, event: BatchEvent) -> None:
        """Something happened; the tally has heard of it."""

    def refresh(self) -> None:  # noqa: B027 - as above
        """Show what runs now, if it is time to."""

    def close(self) -> None:  # noqa: B027 - as above
        """Give the terminal back."""
