"""The person's side of a chat: lines in, which are requests or commands.

Only what the person types is ever a command; what a model or a file says never gets here.
"""

import re
from typing import assert_never

from agent.chat.requests import Chat
from agent.cli.chat.line_reader import InputCleared, InputEnded, InputLine, LineReader
from agent.cli.chat.slash_commands import SlashCommands
from agent.cli.chat.voice import ChatVoice
from agent.interrupts import SignalReceived
from agent.lifecycle.session import RunSession
from agent.record import outcome as outcomes
from agent.record.outcome import (
    Conversation,
    Finished,
    Interrupted,
    LimitReached,
    ModelFailed,
    RunLimit,
    SandboxFailed,
)
from agent.terminal.approval_prompt import ChatAsker
from agent.terminal.progress import Display
from agent.untrusted_text import one_line
from policies.frozen import dataclass
from sandbox.errors import SandboxError

_GREETING = "a request, or /help; all work stays in the sandbox until /apply or the end"
_COMMAND = re.compile(r"/([a-z]+)(?: +(\S.*))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatDriver:
    """Leads a chat's conversation for a person; fits `agent.lifecycle.session.SessionDriver`."""

    reader: LineReader
    voice: ChatVoice
    display: Display
    asker: ChatAsker | None
    """None: nobody can be asked, so nothing is applied from here."""

    def __call__(self, session: RunSession) -> Conversation:
        if self.asker is not None:
            self.asker.clock = session.clock
            self.voice.say(_GREETING)
        chat = Chat(session)
        while True:
            try:
                if not self._step(chat):
                    return chat.last
            except SignalReceived as stop:
                if session.interrupts.leaving or self.asker is None:
                    return Interrupted(signal=stop.name)
                self.voice.say("stopped", "yellow")
            except SandboxError as error:
                return SandboxFailed(message=str(error))
            if isinstance(chat.last, SandboxFailed):
                return chat.last
            if session.interrupts.leaving:
                return Interrupted(signal=session.interrupts.name)

    def _step(self, chat: Chat) -> bool:
        """Take one line and do what it says; False: it was the last."""
        interrupts = chat.session.interrupts
        with interrupts.request():
            line = self._read(chat.session)
        match line:
            case InputEnded():
                return False
            case InputCleared():
                if line.complaint:
                    self.voice.say(line.complaint, "yellow")
            case InputLine():
                with interrupts.request():
                    return self._do(chat, line.text)
            case _:
                assert_never(line)
        return True

    def _read(self, session: RunSession) -> InputLine | InputCleared | InputEnded:
        with session.clock.stopped():
            return self.reader.read()

    def _do(self, chat: Chat, text: str) -> bool:
        """A request or a command; False: the person leaves."""
        match = _COMMAND.fullmatch(text)
        if match is None:
            self._ask(chat, text)
            return True
        name, argument = match[1], match[2] or ""
        if name in {"quit", "exit"} and not argument:
            return False
        commands = SlashCommands(
            chat=chat, voice=self.voice, display=self.display, asker=self.asker
        )
        if not commands.run(name, argument):
            self.voice.say(
                f"no command {one_line(text, 60)}: see /help. A request that begins with a slash "
                "gets a word before it.",
                "yellow",
            )
        return True

    def _ask(self, chat: Chat, text: str) -> None:
        ended = chat.ask(text)
        self.display.close()
        match ended:
            case Finished():
                pass
            case Interrupted():
                self.voice.say("stopped: what was done stays; /undo takes it back", "yellow")
            case LimitReached(limit=RunLimit.CONTEXT):
                self.voice.say(f"the conversation is full: {one_line(ended.detail, 400)}", "yellow")
                self.voice.say("to go on: /apply or /quit, then a new chat", "yellow")
            case LimitReached():
                self.voice.say(f"limit reached: {one_line(ended.detail, 400)}", "yellow")
                self.voice.say(
                    "no request of this chat is served any more: /apply or /quit, then a new chat, "
                    "or a policy with a larger budget",
                    "yellow",
                )
            case ModelFailed():
                self.voice.quote(ended.message, "red")
                self.voice.say("nothing is lost: ask again, or /quit", "yellow")
            case _:
                self.voice.say(f"{outcomes.name(ended)}:", "red")
                self.voice.quote(outcomes.detail(ended), "red")
