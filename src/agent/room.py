"""A sealed box with a conversation in it, ready for requests: what a run makes, and is led in."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.box import Box
from agent.following import Following
from agent.interrupts import Interrupts
from agent.job import Job
from agent.journal import Journal
from agent.loop import Loop
from agent.meter import Meter
from agent.outcome import Conversation
from agent.record import Record
from agent.stopwatch import Stopwatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    job: Job
    box: Box
    loop: Loop
    meter: Meter
    record: Record
    journal: Journal
    following: Following
    interrupts: Interrupts
    clock: Stopwatch
    """Of the run; the meter goes by it."""


Talk = Callable[[Room], Conversation]
"""All that is asked in a room, and how that ended."""


def one_task(room: Room) -> Conversation:
    """The whole of a run that is no chat."""
    return room.loop.run(room.job.task)
