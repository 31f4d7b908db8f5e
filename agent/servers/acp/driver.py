"""The editor's side of a chat, in the run's own thread: prompts in, which are requests or commands.

Fits `agent.session.SessionDriver`: it leads the same chat as the one at a terminal.
"""

import queue
from collections.abc import Sequence

from agent.chat.requests import Chat
from agent.interrupts import SignalReceived
from agent.record.events.calls import CallEnded
from agent.record.events.kinds import Recorded
from agent.record.outcome import Conversation, Interrupted, SandboxFailed
from agent.servers.acp.commands import EditorCommands, command_of
from agent.servers.acp.permission import EditorAsker
from agent.servers.acp.turns import Turn, TurnEnded, TurnFailed, told
from agent.servers.acp.view import EditorView
from agent.session import RunSession
from agent.tools import registry
from policies.frozen import dataclass
from sandbox.errors import SandboxError


class PromptQueue:
    """Prompts on their way to a run's thread, until the session is closed."""

    def __init__(self) -> None:
        self._turns: queue.SimpleQueue[Turn | None] = queue.SimpleQueue()
        self.current: Turn | None = None
        """The one that the thread works on."""

    def put(self, turn: Turn) -> None:
        """Have it served when the one before it is over."""
        self._turns.put(turn)

    def close(self) -> None:
        """Nothing comes after what is in it."""
        self._turns.put(None)

    def next(self) -> Turn | None:
        """Wait for one; None: it is closed."""
        self.current = self._turns.get()
        return self.current

    def fail(self, message: str) -> None:
        """Nobody serves them any more: settle all that is in it."""
        left = [] if self.current is None else [self.current]
        while not self._turns.empty():
            turn = self._turns.get()
            if turn is not None:
                left.append(turn)
        for turn in left:
            turn.settle(TurnFailed(message=message))


@dataclass(frozen=True, slots=True, kw_only=True)
class EditorDriver:
    """Leads a chat's conversation for an editor."""

    prompts: PromptQueue
    view: EditorView
    asker: EditorAsker

    def __call__(self, session: RunSession) -> Conversation:
        self.asker.bind(session, self.view)
        chat = Chat(session)
        shown = b""
        while True:
            with session.clock.stopped():
                turn = self.prompts.next()
            if turn is None:
                return chat.last
            try:
                with session.interrupts.request():
                    turn.begin(session.interrupts)
                    log = len(session.journal.log)
                    ended = self._do(chat, turn)
                    if _may_have_changed(session.journal.log[log:], ended):
                        shown = self._commands(chat).offered(shown)
            except SignalReceived as stop:
                if session.interrupts.leaving:
                    return Interrupted(signal=stop.name)
                turn.settle(TurnEnded(reason="cancelled"))
            except SandboxError as error:
                return SandboxFailed(message=str(error), cause=type(error).__name__)
            else:
                turn.settle(ended)
            if isinstance(chat.last, SandboxFailed):
                return chat.last
            if session.interrupts.leaving:
                return Interrupted(signal=session.interrupts.name)

    def _do(self, chat: Chat, turn: Turn) -> TurnEnded | TurnFailed:
        name = command_of(turn.asked)
        if name is not None:
            self._commands(chat).run(name)
            return TurnEnded(reason="end_turn")
        ended = told(chat.ask(turn.asked.text))
        if isinstance(ended, TurnEnded) and ended.words:
            self.view.say(f"\n\n*{ended.words}*\n")
        return ended

    def _commands(self, chat: Chat) -> EditorCommands:
        return EditorCommands(chat=chat, view=self.view, asker=self.asker)


def _may_have_changed(events: Sequence[Recorded], ended: TurnEnded | TurnFailed) -> bool:
    """Whether a prompt that ended like this, and did this, has left another patch to be shown."""
    if isinstance(ended, TurnFailed) or ended.reason == "cancelled":
        return False
    return any(isinstance(event, CallEnded) and event.tool in registry.WRITING for event in events)
