"""``blame``, ``verify`` and ``replay`` as commands with their options."""

from pathlib import Path
from typing import Annotated

import typer

from agent.cli.setup.options import RunName

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(blame)
    app.command()(verify)
    app.command()(replay)


def blame(
    run: RunName,
    path: Annotated[
        str | None, typer.Argument(metavar="PATH", help="Only this file, or below this directory.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show which tool call last wrote each line of a run's patch.

    Before each line stands the number of its call, or `?` where the run was not followed. Several
    calls as in 4-6 were looked at together: one of them wrote it.

    Example: moonpool blame last src/main.py
    """
    from agent.cli.commands import blame as blame_command

    raise typer.Exit(blame_command.blame(run, path, as_json=as_json))


def verify(run: RunName, *, as_json: AsJson = False) -> None:
    """Check that a run's record is what the run wrote. Exit code 0: it is; 1: something is not.

    Checked are the chain of its events, its summary, its patch and what the patch makes of the old
    files. Nothing in the record is signed: who can write to it can make all of it anew. Against
    that, keep the digest of the last event elsewhere, and compare.

    Example: moonpool verify last
    """
    from agent.cli.commands import verify as verify_command

    raise typer.Exit(verify_command.verify(run, as_json=as_json))


def replay(
    run: RunName,
    *,
    directory: Annotated[
        Path | None,
        typer.Option(
            "-w",
            "--workspace",
            metavar="DIR",
            help="What the run began with, where its workspace was changed since.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a run's calls again in a new container, without a model, and compare the patches.

    Its policy is the recorded one, under today's ceilings. Exit code 0: the same tree; 1: another.

    Example: moonpool replay last -w path/to/checkout
    """
    from agent.cli.commands import replay as replay_command

    raise typer.Exit(replay_command.replay(run, directory, as_json=as_json))
