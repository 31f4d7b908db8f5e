"""How much of a batch is still to be done, once somebody wants it to end."""

from enum import Enum, auto


class Stopping(Enum):
    """How much is still to be done."""

    NOT = auto()
    SOON = auto()
    """No new tasks; those that run come to the end of their call, and export."""
    AT_ONCE = auto()
    """Those that run export now."""
    DROPPED = auto()
    """Not even that: the same command takes them up."""


WORDS = {
    Stopping.SOON: "no further task is begun; those that run finish their call and export; again: "
    "at once",
    Stopping.AT_ONCE: "those that run export at once; again: leave even that",
    Stopping.DROPPED: "leaving; what runs is taken up by the same command",
}
"""For a person, what happens now and what the next signal would do."""
