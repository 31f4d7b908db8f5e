"""Asking the person at the terminal about one call."""

import os
import sys
import termios

from agent.conversation.budget import Stopwatch
from agent.interrupts import Interrupts
from agent.terminal.approval_text import question
from agent.terminal.screen import Line, Screen
from agent.untrusted_text import one_line
from policies.decision import (
    Answered,
    Approve,
    Approved,
    ApprovedBefore,
    Ask,
    Call,
    Declined,
    digest,
)

_LONGEST_ANSWER = 1 << 16
"""Bytes; a terminal gives a line at a time, and none that is longer."""
_USUAL_WIDTH = 80
_YES = frozenset({"y", "yes"})
_DECLINED = Declined(reason="the person at the terminal declined it")
_SHOWN_LINES = 14
"""Of a longer question in a chat the first so many; the rest on demand, and before any yes."""


def at_terminal(screen: Screen, interrupts: Interrupts) -> Approve:
    """An approver that shows the exact call and takes y or yes; anything else declines."""

    def approve(call: Call, ask: Ask) -> Approved | Declined:
        # What is approved is what is read, to the last character: the digest is taken of the call
        # that was shown, not copied from the question.
        shown = digest(call)
        _print(screen, _question(screen, call, ask))
        yes = answer(screen, interrupts, "run this? [y/N] ") in _YES
        return Approved(digest=shown) if yes else _DECLINED

    return approve


class ChatAsker:
    """The same for a chat: also a for always this exact call, in this chat, and s to show all."""

    def __init__(self, screen: Screen, interrupts: Interrupts) -> None:
        self._screen = screen
        self._interrupts = interrupts
        self._always: set[str] = set()
        self.clock = Stopwatch()
        """Stands still while a person thinks."""

    def __call__(self, call: Call, ask: Ask) -> Answered:
        with self.clock.stopped():
            return self._ask(call, ask)

    def agrees(self, prompt: str) -> bool:
        """Whether a person says yes to a question of ours."""
        with self.clock.stopped():
            return answer(self._screen, self._interrupts, prompt) in _YES

    def _ask(self, call: Call, ask: Ask) -> Answered:
        # As above: of the call itself, and of all of it.
        shown = digest(call)
        if shown in self._always:
            self._say(f"  approved before, for this exact call ({shown[:12]})", "dim")
            return ApprovedBefore(digest=shown)
        lines = _question(self._screen, call, ask)
        whole = len(lines) <= _SHOWN_LINES
        _print(self._screen, lines if whole else lines[:_SHOWN_LINES])
        if not whole:
            self._say(f"  … {len(lines) - _SHOWN_LINES} more lines: s shows all of it", "yellow")
        while True:
            match answer(self._screen, self._interrupts, "run this? [y/N/a/s/?] "):
                case "s" | "show":
                    whole = True
                    # By the width of now: a line that wraps would begin at the left edge.
                    _print(self._screen, _question(self._screen, call, ask))
                    self._rule(ask, shown)
                case "y" | "yes" | "a" | "always" if not whole:
                    self._say("  not before you have seen all of it: s shows it", "yellow")
                case "y" | "yes":
                    return Approved(digest=shown)
                case "a" | "always":
                    self._always.add(shown)
                    return Approved(digest=shown)
                case "?" | "h" | "help":
                    self._say("  y: this once · a: this exact call, for this chat", "dim")
                    self._say("  s: show all of it, and the rule · else: no", "dim")
                case _:
                    return _DECLINED

    def _rule(self, ask: Ask, shown: str) -> None:
        for text in (f"rule    {ask.rule}", f"reason  {ask.reason}", f"sha256  {shown}"):
            self._screen.print(Line(f"  {one_line(text)}", "dim"))

    def _say(self, text: str, style: str) -> None:
        self._screen.print(Line(text, style))


def answer(screen: Screen, interrupts: Interrupts, prompt: str) -> str:
    """What a person types to a question of ours, in small letters.

    It stands at the left edge, where no text of a model's or a file's begins.
    """
    # What was typed before the question is no answer to it.
    termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
    screen.print(Line(prompt, "bold yellow"), end="")
    with interrupts.immediate():
        # Not through a buffer: what that read beyond the answer would answer the next question.
        given = os.read(sys.stdin.fileno(), _LONGEST_ANSWER).decode("utf-8", "replace")
    # Nor is the rest of what was pasted there a request.
    termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
    return given.strip().lower()


def _question(screen: Screen, call: Call, ask: Ask) -> list[str]:
    return question(call, ask, width=screen.width or _USUAL_WIDTH)


def _print(screen: Screen, lines: list[str]) -> None:
    head, *call = lines
    screen.print_hanging(Line(head, "bold"))
    for line in call:
        # Broken already, each piece behind a mark of its own.
        screen.print(Line(line, "bold"))
