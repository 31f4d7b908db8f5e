"""``chat`` as a command with its options."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from agent.cli.commands.policy.app import Ceiling
from agent.cli.setup.options import ContextFiles, InstructionsFile, Prices


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(chat)


def chat(
    *,
    directory: Annotated[
        Path, typer.Option("-w", "--workspace", metavar="DIR", help="A copy of it is worked on.")
    ] = Path(),
    policy: Annotated[
        str | None,
        typer.Option(
            "-p",
            "--policy",
            metavar="POLICY",
            help="A name or a file; without: config.yaml's, or default.",
        ),
    ] = None,
    ceiling: Ceiling = None,
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", metavar="MODEL", help="As for `moonpool run`."),
    ] = None,
    verify: Annotated[
        str | None,
        typer.Option(
            metavar="CMD", help="At the end, run this in a fresh container with the patch."
        ),
    ] = None,
    accept_risk: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID", help="Let this finding of the export gate pass; may be given again."
        ),
    ] = None,
    kernel_policy: Annotated[
        Literal["require", "prefer"],
        typer.Option(help="prefer: go on where the kernel can't enforce the policy."),
    ] = "require",
    prices: Prices = None,
    instructions: InstructionsFile = None,
    context_files: ContextFiles = None,
) -> None:
    """Work with an agent request by request, in one sealed copy of a directory.

    The patch is made on leaving, and on /apply; /help lists the commands. Without a terminal each
    line of the input is a request, and what the policy asks about is denied.

    Example: moonpool chat -w path/to/repo
    """
    from agent.cli.commands.chat import ChatOptions
    from agent.cli.commands.chat import chat as have_chat
    from agent.risk.kinds import accepted_risks

    options = ChatOptions(
        directory=directory,
        policy=policy,
        ceiling=ceiling,
        model=model,
        verify=verify,
        accepted_risks=accepted_risks(accept_risk or ()),
        kernel_policy=kernel_policy,
        prices=prices,
        instructions=instructions,
        context_files=context_files,
    )
    raise typer.Exit(have_chat(options))
