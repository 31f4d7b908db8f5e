"""The editor's side of a chat, in the run's own thread: prompts in, which are requests or commands.

Fits `agent.lifecycle.session.SessionDriver`: it leads the same chat as the one at a terminal.
"""

import queue
import threading
from collections.abc import Sequence

from agent.chat.requests import Chat
from agent.chat.slash_commands import EVERYWHERE, SlashCommands
from agent.interrupts import SignalReceived
from agent.lifecycle.session import RunSession
from agent.record.events.conversation import CallEnded
from agent.record.events.kinds import Recorded
from agent.record.outcome import Conversation, Interrupted, SandboxFailed
from agent.servers.acp.commands import EditorFace, command_of, offered
from agent.servers.acp.permission import EditorAsker
from agent.servers.acp.turns import PromptTurn, TurnEnded, TurnFailed, told
from agent.servers.acp.view import EditorView
from agent.tools import registry
from policies.frozen import dataclass
from sandbox.errors import SandboxError


class PromptQueue:
    """Prompts on their way to a run's thread, until the session is closed or its run over."""

    def __init__(self) -> None:
        self._turns: queue.SimpleQueue[PromptTurn | None] = queue.SimpleQueue()
        self._current: PromptTurn | None = None
        self._gate = threading.Lock()
        self._over: TurnFailed | None = None

    def put(self, turn: PromptTurn) -> None:
        """Have it served when the one before it is over."""
        with self._gate:
            if self._over is None:
                self._turns.put(turn)
            else:
                turn.settle(self._over)

    def close(self) -> None:
        """Nothing comes after what is in it."""
        self._turns.put(None)

    def next(self) -> PromptTurn | None:
        """Wait for one; None: it is closed."""
        self._current = self._turns.get()
        return self._current

    def fail(self, message: str) -> None:
        """Nobody serves any more: all that is in it, or comes yet, ends with these words."""
        with self._gate:
            self._over = TurnFailed(message=message)
            left = [self._current]
            while not self._turns.empty():
                left.append(self._turns.get())
        for turn in filter(None, left):
            turn.settle(self._over)


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
                        shown = offered(self._commands(chat), self.view, shown)
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

    def _do(self, chat: Chat, turn: PromptTurn) -> TurnEnded | TurnFailed:
        name = command_of(turn.asked)
        if name is not None:
            self._commands(chat).run(name)
            return TurnEnded(reason="end_turn")
        ended = told(chat.ask(turn.asked.text))
        if isinstance(ended, TurnEnded) and ended.words:
            self.view.say(f"\n\n*{ended.words}*\n")
        return ended

    def _commands(self, chat: Chat) -> SlashCommands:
        face = EditorFace(view=self.view, asker=self.asker)
        return SlashCommands(chat=chat, face=face, offered=EVERYWHERE, request="prompt")


def _may_have_changed(events: Sequence[Recorded], ended: TurnEnded | TurnFailed) -> bool:
    """Whether a prompt that ended like this, and did this, has left another patch to be shown."""
    if isinstance(ended, TurnFailed) or ended.reason == "cancelled":
        return False
    return any(isinstance(event, CallEnded) and event.tool in registry.WRITING for event in events)
