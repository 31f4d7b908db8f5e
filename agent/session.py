"""A sealed box with a conversation in it, ready for requests: what a run makes, and is led in."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.conversation.budget import Meter
from agent.conversation.change_tracking import Following
from agent.conversation.loop import Loop
from agent.conversation.stopwatch import Stopwatch
from agent.interrupts import Interrupts
from agent.job import Job
from agent.record.journal import Journal
from agent.record.outcome import Conversation
from agent.record.store import Record
from agent.tools.sandbox_protocol import Box


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
