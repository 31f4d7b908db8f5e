"""The person's side of a chat: lines in, which are requests or commands.

Only what the person types is ever a command; what a model or a file says never gets here.
"""

import re

from agent.chat.requests import Chat
from agent.chat.wording import ended_in_words
from agent.cli.chat.face import COMMANDS, TerminalCommands, TerminalFace
from agent.cli.chat.line_reader import LineReader
from agent.interrupts import SignalReceived
from agent.lifecycle.session import RunSession
from agent.record.outcome import Conversation, Interrupted, LimitReached, SandboxFailed
from agent.terminal.progress import Display
from policies.frozen import dataclass
from sandbox.errors import SandboxError

_GREETING = "a request, or /help; all work stays in the sandbox until /apply or the end"
_COMMAND = re.compile(r"/([a-z]+)(?: +(\S.*))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatDriver:
    """Leads a chat's conversation for a person; fits `agent.lifecycle.session.SessionDriver`."""

    reader: LineReader
    face: TerminalFace
    display: Display

    def __call__(self, session: RunSession) -> Conversation:
        asker = self.face.asker
        if asker is not None:
            asker.clock = session.clock
            self.face.say(_GREETING)
        chat = Chat(session)
        while True:
            try:
                if not self._step(chat):
                    return chat.last
            except SignalReceived as stop:
                if session.interrupts.leaving or asker is None:
                    return Interrupted(signal=stop.name)
                self.face.say("stopped", "yellow")
            except SandboxError as error:
                return SandboxFailed(message=str(error))
            if isinstance(chat.last, SandboxFailed):
                return chat.last
            if session.interrupts.leaving:
                return Interrupted(signal=session.interrupts.name)

    def _step(self, chat: Chat) -> bool:
        """Take one line and do what it says; False: it was the last."""
        interrupts = chat.session.interrupts
        with interrupts.request(), chat.session.clock.stopped():
            line = self.reader.read()
        if line is None:
            return False
        if not line:
            return True
        with interrupts.request():
            return self._do(chat, line)

    def _do(self, chat: Chat, text: str) -> bool:
        """A request or a command; False: the person leaves."""
        match = _COMMAND.fullmatch(text)
        if match is None:
            self._ask(chat, text)
            return True
        name, argument = match[1], match[2] or ""
        if name in {"quit", "exit"} and not argument:
            return False
        TerminalCommands(chat=chat, face=self.face, offered=COMMANDS, display=self.display).run(
            name, argument
        )
        return True

    def _ask(self, chat: Chat, text: str) -> None:
        ended = chat.ask(text)
        self.display.close()
        if words := ended_in_words(ended, "chat"):
            ours = isinstance(ended, Interrupted | LimitReached)
            self.face.quote(words, "yellow" if ours else "red")
