"""The commands and their options. Each does its work in a module of its own, imported when it is
called: ``moonpool --help`` must not wait for an SDK."""

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from agent.cli.commands import chat_app, fork_app, provenance_app
from agent.cli.commands.config_app import config_app, models
from agent.cli.commands.policy.app import Ceiling, policy_app
from agent.cli.setup.options import ContextFiles, InstructionsFile, Prices, RunName

app = typer.Typer(
    name="moonpool",
    help="Run a coding agent on code nobody trusts: a sealed container, a policy that the kernel "
    "enforces, and a patch with proof.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
image_app = typer.Typer(help="What an agent works in.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(policy_app, name="policy")
app.add_typer(image_app, name="image")
app.add_typer(config_app, name="config")


def run() -> int:
    """Parse the command line and do what it says; gives the exit code."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # A terminal that can't show a character gets a question mark, not a traceback.
            reconfigure(errors="replace")
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, where an error still becomes words and a code
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(bool(done.code))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader left (`moonpool runs | head`).
        _close_output()
        return 1
    except Exception as error:  # noqa: BLE001 - one of ours, or raised again
        return _failed(error)
    return 0


def _failed(error: Exception) -> int:
    from agent.cli.setup.exit_codes import ENVIRONMENT, of_error
    from agent.untrusted_text import visible

    code = of_error(error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        # Of what a command reads and writes it says itself what failed: this was its output.
        _close_output()
        print("moonpool: the output can't be written: the disk is full", file=sys.stderr)
        return ENVIRONMENT
    if code is None:
        raise error
    print(f"moonpool: {visible(str(error))}", file=sys.stderr)
    return code


def _close_output() -> None:
    """Python flushes once more while it ends, and would complain again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        from importlib.metadata import version

        typer.echo(f"moonpool {version('moonpool')}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command("run")
def run_task(
    task: Annotated[str, typer.Argument(metavar="TASK", help="What the agent is to do.")],
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
        typer.Option(
            "-m",
            "--model",
            metavar="MODEL",
            help="anthropic:NAME, openai:NAME or script:FILE; without: config.yaml's.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="DIR", help="Copy patch, report, summary and log there."
        ),
    ] = None,
    verify: Annotated[
        str | None,
        typer.Option(
            metavar="CMD", help="Run this in a fresh container with the patch; exit 1 if it fails."
        ),
    ] = None,
    instructions: InstructionsFile = None,
    context_files: ContextFiles = None,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Events as JSON lines; the last is the summary.")
    ] = False,
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
) -> None:
    """Let an agent work on a copy of a directory, and export what it changed as a patch.

    Example: moonpool run "fix the failing tests" -w path/to/repo --verify "pytest -q"
    """
    from agent.cli.commands.run import RunOptions, run
    from agent.risk.kinds import accepted_risks

    options = RunOptions(
        task=task,
        directory=directory,
        policy=policy,
        ceiling=ceiling,
        model=model,
        out=out,
        verify=verify,
        instructions=instructions,
        context_files=context_files,
        json_lines=json_lines,
        accepted_risks=accepted_risks(accept_risk or ()),
        kernel_policy=kernel_policy,
        prices=prices,
    )
    raise typer.Exit(run(options))


chat_app.add_to(app)


@app.command()
def runs(
    limit: Annotated[int, typer.Option("-n", min=1, help="How many, the newest first.")] = 20,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
) -> None:
    """List the runs there are.

    Example: moonpool runs -n 5
    """
    from agent.cli.commands import json_output
    from agent.cli.commands import runs as runs_commands

    listing = json_output.list_runs if as_json else runs_commands.list_runs
    raise typer.Exit(listing(limit))


@app.command()
def show(
    run: RunName,
    *,
    patch: Annotated[bool, typer.Option("--patch", help="Print the patch itself.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as a JSON object.")] = False,
) -> None:
    """Show what a run did and what came of it.

    Example: moonpool show last --patch
    """
    from agent.cli.commands import json_output
    from agent.cli.commands import show as runs_commands

    if as_json and patch:
        raise typer.BadParameter("--json names the patch's file: --patch does not go with it")
    if as_json:
        raise typer.Exit(json_output.show(run))
    raise typer.Exit(runs_commands.show(run, patch=patch))


@app.command()
def apply(
    run: RunName,
    *,
    directory: Annotated[
        Path | None,
        typer.Option("-w", "--workspace", metavar="DIR", help="Instead of the run's workspace."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only see whether it would fit.")] = False,
    three_way: Annotated[
        bool, typer.Option("--three-way", help="Merge it into files that were changed since.")
    ] = False,
    branch: Annotated[
        str | None,
        typer.Option(
            "--branch",
            metavar="NAME",
            help="Commit it to a new branch on HEAD; files and index stay as they are.",
        ),
    ] = None,
) -> None:
    """Apply a run's patch to the directory it was made for: all of it, or nothing.

    Example: moonpool apply last --check
    """
    from agent.cli.commands.apply import ApplyOptions
    from agent.cli.commands.apply import apply as apply_run

    options = ApplyOptions(
        run=run, directory=directory, check=check, three_way=three_way, branch=branch
    )
    raise typer.Exit(apply_run(options))


@app.command()
def resume(
    run: RunName,
    *,
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", metavar="MODEL", help="Instead of the run's own."),
    ] = None,
    export_only: Annotated[
        bool, typer.Option("--export-only", help="Make the patch of what stands, and end the run.")
    ] = False,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Events as JSON lines; the last is the summary.")
    ] = False,
    prices: Prices = None,
) -> None:
    """Go on with a run whose process was killed, in its container, where that still stands.

    Example: moonpool resume last --export-only
    """
    from agent.cli.commands import resume as resume_command

    raise typer.Exit(
        resume_command.resume(
            run, model=model, export_only=export_only, json_lines=json_lines, prices=prices
        )
    )


@app.command()
def schema(
    _what: Annotated[Literal["events"], typer.Argument(metavar="events")],
) -> None:
    """Print the JSON Schema of the lines of `--json`, which are those of `events.jsonl`.

    Example: moonpool schema events > events.schema.json
    """
    from agent.cli.commands import json_output

    raise typer.Exit(json_output.schema())


@app.command()
def doctor() -> None:
    """Try everything that a run needs, and say what is missing.

    Example: moonpool doctor
    """
    from agent.cli.commands import doctor as doctor_command

    raise typer.Exit(doctor_command.doctor())


@app.command()
def prune(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="What is still in use too: running agents are ended.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Even where an agent's work in it can't be exported.")
    ] = False,
) -> None:
    """Remove containers and workspace copies that runs left behind and are past their time.

    An agent's work in a container is exported to its run first.

    Example: moonpool prune
    """
    from agent.cli.commands import prune as prune_command

    raise typer.Exit(prune_command.prune(everything=everything, force=force))


fork_app.add_to(app)
app.command()(models)
provenance_app.add_to(app)


@image_app.command("list")
def image_list() -> None:
    """List the images that agents can work in.

    Example: moonpool image list
    """
    from agent.cli.commands import image as image_command

    raise typer.Exit(image_command.list_images())


@image_app.command("build")
def image_build(
    names: Annotated[list[str], typer.Argument(metavar="NAME...")],
    *,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Build again, on the base as it is today.")
    ] = False,
) -> None:
    """Build images, unless they stand already.

    Example: moonpool image build python
    """
    from agent.cli.commands import image as image_command

    raise typer.Exit(image_command.build(names, refresh=refresh))
