"""Asking the person at the terminal about one call."""

import sys
import termios

from rich.console import Console
from rich.text import Text

from agent.approval import Approve, Approved, Declined
from agent.interrupts import Interrupts
from agent.text import visible
from agent.wording import call_in_words
from policies.decision import Ask, Call

_LONGEST_ANSWER = 100


def at_terminal(console: Console, interrupts: Interrupts) -> Approve:
    """An approver that shows the exact call and takes y or yes; anything else declines."""

    def approve(call: Call, ask: Ask) -> Approved | Declined:
        # Not one_line and not cut: what is approved is what is read, to the last character.
        words = visible(call_in_words(call.tool, call.arguments))
        console.print(Text("? ", "bold yellow").append(words, "bold"), soft_wrap=True)
        for name, value in call.arguments.items():
            if name not in {"command", "path"}:
                console.print(Text(f"  {name}: {visible(str(value))}", "dim"), soft_wrap=True)
        console.print(Text(f"  {visible(ask.reason)} ({visible(ask.rule)})", "dim"), soft_wrap=True)
        # What was typed before the question is no answer to it.
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
        console.print(Text("  run this? [y/N] ", "bold"), end="")
        with interrupts.immediate():
            answer = sys.stdin.readline(_LONGEST_ANSWER)
        if answer.strip().lower() in {"y", "yes"}:
            return Approved(digest=ask.digest)
        return Declined(reason="the person at the terminal declined it")

    return approve
