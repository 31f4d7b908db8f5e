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

HISTORY = "chat-history"
"""In the state directory."""
_LINE_LIMIT_BYTES = 1 << 20


class LineReader(Protocol):
    def read(self) -> str | None:
        """The next line; empty where there is more to come (Ctrl-C, nothing but blanks, a line that
        was too long), None at the end of the input or for Ctrl-D.

        Raises SignalReceived for a signal that ends the chat.
        """


class PlainReader:
    """Lines as they come: from a pipe, or from a terminal that knows no escape sequences."""

    def __init__(
        self, interrupts: Interrupts, *, prompt: str, complain: Callable[[str], None]
    ) -> None:
        """Args:
        prompt: empty where nobody reads it.
        complain: told why a line is not taken.
        """
        self._interrupts = interrupts
        self._prompt = prompt
        self._complain = complain

    def read(self) -> str | None:
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
            return "" if stop.name else None
        if not data:
            if self._prompt:
                sys.stdout.write("\n")
            return None
        if len(data) >= _LINE_LIMIT_BYTES and not data.endswith(b"\n"):
            while data and not data.endswith(b"\n"):
                data = sys.stdin.buffer.readline(_LINE_LIMIT_BYTES)
            self._complain(f"a line of more than {_LINE_LIMIT_BYTES} bytes is not taken")
            return ""
        return data.decode("utf-8", "replace").strip()


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

    def read(self) -> str | None:
        try:
            with self._interrupts.prompting():
                text = self._session.prompt(self._prompt, handle_sigint=False)
        except KeyboardInterrupt:
            return ""
        except EOFError:
            return None
        except SignalReceived:
            if self._interrupts.leaving:
                raise
            return ""
        return text.strip()


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
