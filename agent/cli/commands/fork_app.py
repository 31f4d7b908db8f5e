"""``fork`` as a command with its options."""

from pathlib import Path
from typing import Annotated

import typer

from agent.cli.setup.options import Prices, RunName


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(fork)


def fork(
    run: RunName,
    task: Annotated[
        str | None,
        typer.Argument(metavar="TASK", help="Said to the model then; else it goes on as it was."),
    ] = None,
    *,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="N", help="The call after which it forks, 0, or `end`."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", metavar="MODEL", help="Instead of the run's own."),
    ] = None,
    directory: Annotated[
        Path | None,
        typer.Option(
            "-w",
            "--workspace",
            metavar="DIR",
            help="What the run began with, where its workspace was changed since.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="Copy patch, report and summary there."),
    ] = None,
    prices: Prices = None,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Events as JSON lines; the last is the summary.")
    ] = False,
) -> None:
    """Begin a new run where a call of another one had ended: its files, its conversation.

    Without --at, list the calls of the run. The policy is the recorded one, under today's
    ceilings, and its budget is whole again.

    Example: moonpool fork last --at 3 "do it without a new dependency"
    """
    from agent.cli.commands.fork import ForkOptions, fork_run, list_points

    if at is None:
        raise typer.Exit(list_points(run, task, as_json=json_lines))
    options = ForkOptions(
        run=run,
        task=task,
        at=at,
        model=model,
        directory=directory,
        out=out,
        prices=prices,
        json_lines=json_lines,
    )
    raise typer.Exit(fork_run(options))
