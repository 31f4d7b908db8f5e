"""Asking the person at the terminal about one call."""

import sys
import termios

from rich.console import Console
from rich.text import Text

from agent.approval import Approve, Approved, Declined
from agent.interrupts import Interrupts
from agent.question import question
from policies.decision import Ask, Call, digest

_LONGEST_ANSWER = 100


def at_terminal(console: Console, interrupts: Interrupts) -> Approve:
    """An approver that shows the exact call and takes y or yes; anything else declines."""

    def approve(call: Call, ask: Ask) -> Approved | Declined:
        # What is approved is what is read, to the last character: the digest is taken of the call
        # that was shown, not copied from the question.
        shown = digest(call)
        for line in question(call, ask, width=console.width):
            console.print(Text(line, "bold"), soft_wrap=True)
        # What was typed before the question is no answer to it.
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
        console.print(Text("  run this? [y/N] ", "bold yellow"), end="")
        with interrupts.immediate():
            answer = sys.stdin.readline(_LONGEST_ANSWER)
        if answer.strip().lower() in {"y", "yes"}:
            return Approved(digest=shown)
        return Declined(reason="the person at the terminal declined it")

    return approve
