"""A sealed box with a conversation in it, ready for requests: what a run makes, and is led in."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.conversation.budget import Budget
from agent.conversation.change_tracking import ChangeTracker
from agent.conversation.loop import AgentLoop
from agent.conversation.stopwatch import Stopwatch
from agent.interrupts import Interrupts
from agent.job import Job
from agent.record.journal import Journal
from agent.record.outcome import Conversation
from agent.record.store import RunRecord
from agent.tools.sandbox_protocol import SandboxProtocol


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSession:
    job: Job
    box: SandboxProtocol
    loop: AgentLoop
    budget: Budget
    record: RunRecord
    journal: Journal
    tracker: ChangeTracker
    interrupts: Interrupts
    clock: Stopwatch
    """Of the run; the meter goes by it."""


SessionDriver = Callable[[RunSession], Conversation]
"""All that is asked in a room, and how that ended."""


def one_task(session: RunSession) -> Conversation:
    """The whole of a run that is no chat."""
    return session.loop.run(session.job.task)
