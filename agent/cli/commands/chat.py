"""``moonpool chat``."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent.cli.setup import environment as settings
from agent.cli.setup import model as configured
from agent.cli.setup import policy as permits
from agent.cli.setup import workspace

if TYPE_CHECKING:
    from agent.cli.chat.line_reader import Reader
    from agent.cli.commands.run import Front
    from agent.interrupts import Interrupts
    from agent.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions:
    """The command line of ``moonpool chat``, as given."""

    directory: Path
    policy: str | None
    ceiling: str | None
    model: str | None
    verify: str | None
    accepted_risks: frozenset[str]
    kernel_policy: Literal["require", "prefer"]
    prices: Path | None
    instructions: Path | None
    context_files: bool | None
    """As in `RunOptions`."""


def chat(options: ChatOptions) -> int:
    """Have a chat; gives the exit code."""
    root = workspace.resolve(options.directory)
    configuration = configured.load(root=root)
    named = configured.policy_name(options.policy, configuration)
    policy = permits.permit(named, options.ceiling, root=root)
    home = settings.home()
    workspace.refuse_inside(home, root, "MOONPOOL_HOME")

    from agent.cli.commands import run as run_command
    from agent.job import Job
    from agent.open_sandbox import open_sealed
    from agent.record.store import Record, new_run_id

    briefing = configured.brief(
        options.instructions,
        configuration,
        context_files=options.context_files,
        workspace=root,
    )
    ready = configured.ready(options.model, policy, configuration, prices=options.prices)
    secrets = configured.known_secrets(configuration)
    record = Record.create(home, run_id=new_run_id(), known_secrets=secrets)
    try:
        job = Job(
            run_id=record.run_id,
            task="",
            workspace=root,
            policy=policy,
            verify=options.verify,
            briefing=briefing,
            may_ask=run_command.may_ask(json_lines=False),
            kernel_policy=options.kernel_policy,
            accepted_risks=options.accepted_risks,
            environ=settings.environ(),
        )
        conduct = run_command.Conduct(record=record, json_lines=False, out=None, ready=ready)
        notices = run_command.notices_of(root, policy)
        front = _front(job, home, record.redact)
        return conduct(job, open_sealed, notices=notices, front=front)
    finally:
        record.close()


def _front(job: "Job", home: Path, redact: Callable[[str], str]) -> "Front":
    from agent.cli.chat.slash_commands import Talking
    from agent.cli.commands.run import Front
    from agent.conversation.approval import nobody_to_ask
    from agent.interrupts import Interrupts
    from agent.terminal.approval_prompt import ChatAsker
    from agent.terminal.console import Screen
    from agent.terminal.progress import Display, Layout

    console = Screen()
    interrupts = Interrupts()
    display = Display(console, layout=Layout.FOLDED)
    asker = ChatAsker(console, interrupts) if job.may_ask else None
    reader = _reader(interrupts, home, redact, may_ask=job.may_ask)
    return Front(
        interrupts=interrupts,
        show=display.show,
        close=display.close,
        approve=asker if asker is not None else nobody_to_ask,
        talk=Talking(reader=reader, console=console, display=display, asker=asker),
    )


def _reader(
    interrupts: "Interrupts",
    home: Path,
    redact: Callable[[str], str],
    *,
    may_ask: bool,
) -> "Reader":
    from agent.cli.chat import line_reader as chat_input
    from agent.cli.chat.slash_commands import HELP

    if not may_ask:
        return chat_input.Plain(interrupts, prompt="")
    if os.environ.get("TERM", "") in {"", "dumb", "unknown"}:
        return chat_input.Plain(interrupts, prompt="> ")
    return chat_input.Edited(
        interrupts,
        history=home / chat_input.HISTORY,
        redact=redact,
        commands=tuple(HELP),
        prompt="> ",
    )
