"""``moonpool chat``."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent.cli.setup import environment, workspace
from agent.cli.setup import model as model_setup
from agent.cli.setup import policy as policy_setup

if TYPE_CHECKING:
    from agent.cli.chat.line_reader import LineReader
    from agent.cli.commands.run import Frontend
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
    configuration = model_setup.load(root=root)
    named = model_setup.policy_name(options.policy, configuration)
    policy = policy_setup.permit(named, options.ceiling, root=root)
    home = environment.home()
    workspace.refuse_inside(home, root, "MOONPOOL_HOME")

    from agent.cli.commands import run as run_command
    from agent.job import Job
    from agent.open_sandbox import open_sandbox
    from agent.record.store import RunRecord, new_run_id

    instructions = model_setup.brief(
        options.instructions,
        configuration,
        context_files=options.context_files,
        workspace=root,
    )
    ready = model_setup.ready(options.model, policy, configuration, prices=options.prices)
    secrets = model_setup.known_secrets(configuration)
    record = RunRecord.create(home, run_id=new_run_id(), known_secrets=secrets)
    try:
        job = Job(
            run_id=record.run_id,
            task="",
            workspace=root,
            policy=policy,
            verify=options.verify,
            instructions=instructions,
            may_ask=run_command.may_ask(json_lines=False),
            kernel_policy=options.kernel_policy,
            accepted_risks=options.accepted_risks,
            environ=environment.environ(),
        )
        conduct = run_command.RunController(record=record, json_lines=False, out=None, ready=ready)
        notices = run_command.notices_of(root, policy)
        front = _front(job, home, record.redact)
        return conduct(job, open_sandbox, notices=notices, front=front)
    finally:
        record.close()


def _front(job: "Job", home: Path, redact: Callable[[str], str]) -> "Frontend":
    from agent.cli.chat.slash_commands import ChatDriver
    from agent.cli.commands.run import Frontend
    from agent.conversation.approval import nobody_to_ask
    from agent.interrupts import Interrupts
    from agent.terminal.approval_prompt import ChatAsker
    from agent.terminal.console import LeavableConsole
    from agent.terminal.progress import Display, Layout

    console = LeavableConsole()
    interrupts = Interrupts()
    display = Display(console, layout=Layout.FOLDED)
    asker = ChatAsker(console, interrupts) if job.may_ask else None
    reader = _reader(interrupts, home, redact, may_ask=job.may_ask)
    return Frontend(
        interrupts=interrupts,
        show=display.show,
        close=display.close,
        approve=asker if asker is not None else nobody_to_ask,
        driver=ChatDriver(reader=reader, console=console, display=display, asker=asker),
    )


def _reader(
    interrupts: "Interrupts",
    home: Path,
    redact: Callable[[str], str],
    *,
    may_ask: bool,
) -> "LineReader":
    from agent.cli.chat import line_reader
    from agent.cli.chat.slash_commands import HELP

    if not may_ask:
        return line_reader.PlainReader(interrupts, prompt="")
    if os.environ.get("TERM", "") in {"", "dumb", "unknown"}:
        return line_reader.PlainReader(interrupts, prompt="> ")
    return line_reader.EditedReader(
        interrupts,
        history=home / line_reader.HISTORY,
        redact=redact,
        commands=tuple(HELP),
        prompt="> ",
    )
