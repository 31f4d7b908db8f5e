"""What of a conversation's history is sent, as a value: the history itself only grows.

Owns the three ways to send less: a turn's results shortened before they are sent, old results
cleared, old turns replaced by a summary. How the messages then read is for
`agent.conversation.window`. Replies count from 1; the messages after a reply, up to the next,
belong to it.
"""

from dataclasses import replace

from agent.models.interface import Opaque
from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryNotes:
    """A summary in words, ours or the model's."""

    text: str
    orders: tuple[str, ...]
    """What the operator asked for, word for word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextWindow:
    """What was left out so far, and what stands in its place."""

    head: SummaryNotes | Opaque | None = None
    """Stands for everything up to reply `cut`."""
    cut: int = 0
    cleared: int = 0
    """The results of the replies up to this one are cleared."""
    bare: int = 0
    """Replies up to this one go without the blocks that only their provider understands: those are
    bound to what stood before them, and that is not the same any more."""
    shortened: tuple[tuple[int, int], ...] = ()
    """Replies whose results are cut, with the bytes that are left of each result."""

    @property
    def is_less(self) -> bool:
        """Than the whole history."""
        return self != ContextWindow()

    def clear(self, *, through: int, bare: int) -> "ContextWindow":
        return replace(self, cleared=max(self.cleared, through), bare=max(self.bare, bare))

    def shorten(self, reply: int, most_bytes: int) -> "ContextWindow":
        others = tuple(item for item in self.shortened if item[0] != reply)
        return replace(self, shortened=(*others, (reply, most_bytes)))

    def summarise(self, head: SummaryNotes | Opaque, *, through: int, bare: int) -> "ContextWindow":
        return replace(self, head=head, cut=through, bare=max(self.bare, bare))
