"""What the person in a chat types: line by line, with a library's editing where there is a terminal
that can take it, and plainly where there is none.

Owns reading. Refuses to know what a line means.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from agent.interrupts import Interrupts, SignalReceived
from policies.frozen import dataclass

HISTORY = "chat-history"
"""In the state directory."""
_LINE_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class InputLine:
    text: str


@dataclass(frozen=True, slots=True)
class InputCleared:
    """Nothing, and there is more to come: Ctrl-C, an empty line, one that was too long."""

    complaint: str = ""


@dataclass(frozen=True, slots=True)
class InputEnded:
    """The end of the input, or Ctrl-D."""


Typed = InputLine | InputCleared | InputEnded


class LineReader(Protocol):
    def read(self) -> Typed:
        """The next line. Raises Stop for a signal that ends the chat."""


class PlainReader:
    """Lines as they come: from a pipe, or from a terminal that knows no escape sequences."""

    def __init__(self, interrupts: Interrupts, *, prompt: str) -> None:
        """`prompt` is empty where nobody reads it."""
        self._interrupts = interrupts
        self._prompt = prompt

    def read(self) -> Typed:
        try:
            # The signal comes out of the prompt's own write, too.
            with self._interrupts.prompting():
                sys.stdout.write(self._prompt)
                sys.stdout.flush()
                data = sys.stdin.buffer.readline(_LINE_LIMIT_BYTES)
        except SignalReceived as stop:
            if self._interrupts.leaving or not self._prompt:
                raise
            sys.stdout.write("\n")
            return InputCleared(complaint="") if stop.name else InputEnded()
        if not data:
            if self._prompt:
                sys.stdout.write("\n")
            return InputEnded()
        if len(data) >= _LINE_LIMIT_BYTES and not data.endswith(b"\n"):
            while data and not data.endswith(b"\n"):
                data = sys.stdin.buffer.readline(_LINE_LIMIT_BYTES)
            return InputCleared(f"a line of more than {_LINE_LIMIT_BYTES} bytes is not taken")
        return _line(data.decode("utf-8", "replace"))


class EditedReader:
    """With history, editing, and pasting of several lines."""

    def __init__(
        self,
        interrupts: Interrupts,
        *,
        history: Path,
        redact: Callable[[str], str],
        commands: Sequence[str],
        prompt: str,
    ) -> None:
        """Args:
        history: the file, made for its owner alone.
        redact: what of a line must not get there.
        """
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.history import FileHistory, History, InMemoryHistory
        from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

        class Private(FileHistory):
            def store_string(self, string: str) -> None:
                super().store_string(redact(string))

            def load_history_strings(self) -> Iterable[str]:
                try:
                    return list(super().load_history_strings())
                except OSError:
                    return []

        keys = KeyBindings()

        @keys.add("escape", "enter")
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        kept: History = Private(str(history)) if _made(history) else InMemoryHistory()
        self._interrupts = interrupts
        self._prompt = prompt
        self._session: PromptSession[str] = PromptSession(
            history=kept,
            key_bindings=keys,
            # Only what begins with a slash is completed, by the commands there are.
            completer=WordCompleter(list(commands), sentence=True),
            complete_while_typing=False,
            reserve_space_for_menu=0,
        )

    def read(self) -> Typed:
        try:
            with self._interrupts.prompting():
                text = self._session.prompt(self._prompt, handle_sigint=False)
        except KeyboardInterrupt:
            return InputCleared()
        except EOFError:
            return InputEnded()
        except SignalReceived:
            if self._interrupts.leaving:
                raise
            return InputCleared()
        return _line(text)


def _line(text: str) -> Typed:
    text = text.strip()
    return InputLine(text=text) if text else InputCleared()


def _made(path: Path) -> bool:
    """The history file is there and its owner's alone; never through a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, flags, 0o600)
        try:
            os.fchmod(handle, 0o600)
        finally:
            os.close(handle)
    except OSError:
        return False
    return True
