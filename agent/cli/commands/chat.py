"""``moonpool chat``."""

import sys
from collections.abc import Callable
from pathlib import Path

from agent.cli import options
from agent.cli.arguments import Command, Given
from agent.cli.chat import line_reader
from agent.cli.chat.driver import ChatDriver
from agent.cli.chat.face import COMMANDS, TerminalFace
from agent.cli.controller import Frontend, conduct, may_ask
from agent.config import environment
from agent.interrupts import Interrupts
from agent.lifecycle.job import Job
from agent.lifecycle.open_sandbox import open_sandbox
from agent.preparation.prepare import notices_of, prepare
from agent.terminal.approval_prompt import ChatAsker
from agent.terminal.progress import Display, Layout
from agent.terminal.screen import open_screen
from policies.decision import nobody_to_ask


def chat(given: Given) -> int:
    """Have a chat; gives the exit code."""
    prepared = prepare(options.of_run(given, given[options.MODEL]))
    with prepared.recorded() as record:
        job = prepared.job(
            record.run_id,
            task="",
            verify=given[options.VERIFY],
            may_ask=may_ask(json_lines=False, shown_on=sys.stdout),
        )
        return conduct(
            job,
            open_sandbox,
            record=record,
            ready=prepared.ready,
            notices=notices_of(prepared.root, prepared.policy),
            front=_front(job, prepared.home, record.redact),
        )


def _front(job: Job, home: Path, redact: Callable[[str], str]) -> Frontend:
    screen = open_screen(environment.environ(), leavable=True)
    interrupts = Interrupts()
    # Where nobody is at a terminal, the answers are the output, and how they came about is not.
    notes = (
        screen if job.may_ask else open_screen(environment.environ(), leavable=True, errors=True)
    )
    display = Display(screen, layout=Layout.FOLDED, notes=notes)
    asker = ChatAsker(screen, interrupts) if job.may_ask else None
    face = TerminalFace(screen=screen, asker=asker)
    return Frontend(
        interrupts=interrupts,
        show=display.show,
        close=display.close,
        answers=True,
        approve=asker if asker is not None else nobody_to_ask,
        driver=ChatDriver(
            reader=_reader(interrupts, face, home, redact), face=face, display=display
        ),
    )


def _reader(
    interrupts: Interrupts, face: TerminalFace, home: Path, redact: Callable[[str], str]
) -> line_reader.LineReader:
    may_edit = environment.environ().get("TERM", "") not in {"", "dumb", "unknown"}
    if face.asker is None or not may_edit:
        prompt = "" if face.asker is None else "> "
        return line_reader.PlainReader(
            interrupts, prompt=prompt, complain=lambda words: face.say(words, "yellow")
        )
    return line_reader.EditedReader(
        interrupts,
        history=home / line_reader.HISTORY,
        redact=redact,
        commands=tuple(f"/{name}" for name in COMMANDS),
        prompt="> ",
    )


COMMAND = Command(
    chat,
    (
        *(options.WORKSPACE, options.POLICY, options.CEILING, options.MODEL, options.VERIFY),
        *(options.REVIEWER, *options.OF_RISK, *options.TO_MODEL),
    ),
    """

    The patch is made on leaving, and on /apply; /help lists the commands. Without a terminal each
    line of the input is a request, and what the policy asks about is denied.

    Example: moonpool chat -w path/to/repo
    """,
)
