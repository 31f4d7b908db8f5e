"""The commands and their options. Each does its work in a module of its own, imported when it is
called: ``moonpool --help`` must not wait for an SDK."""

# Imports stand where they are needed, so that a command loads no SDK it does not use; and this is
# the terminal, where printing is the point.
# ruff: noqa: PLC0415, T201

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

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
policy_app = typer.Typer(help="What an agent may do.", no_args_is_help=True, rich_markup_mode=None)
image_app = typer.Typer(help="What an agent works in.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(policy_app, name="policy")
app.add_typer(image_app, name="image")

RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, its beginning, or `last`.")
]
Ceiling = Annotated[
    str | None,
    typer.Option(
        "--ceiling",
        metavar="FILE",
        help="A policy that nothing may exceed, beside the ceiling.yaml of your configuration "
        "directory: both hold.",
    ),
]


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
    from agent.cli.exits import ENVIRONMENT, of_error
    from agent.text import visible

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
        str, typer.Option("-p", "--policy", metavar="POLICY", help="A name or a file.")
    ] = "default",
    ceiling: Ceiling = None,
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", metavar="MODEL", help="anthropic:NAME or script:FILE."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="Copy patch, report and summary there."),
    ] = None,
    verify: Annotated[
        str | None,
        typer.Option(
            metavar="CMD", help="Run this in a fresh container with the patch; exit 1 if it fails."
        ),
    ] = None,
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
) -> None:
    """Let an agent work on a copy of a directory, and export what it changed as a patch.

    Example: moonpool run "fix the failing tests" -w path/to/repo --verify "pytest -q"
    """
    from agent.cli.run_command import RunOptions, run
    from agent.risk.kinds import accepted_risks

    options = RunOptions(
        task=task,
        directory=directory,
        policy=policy,
        ceiling=ceiling,
        model=model,
        out=out,
        verify=verify,
        json_lines=json_lines,
        accepted_risks=accepted_risks(accept_risk or ()),
        kernel_policy=kernel_policy,
    )
    raise typer.Exit(run(options))


@app.command()
def runs(
    limit: Annotated[int, typer.Option("-n", min=1, help="How many, the newest first.")] = 20,
) -> None:
    """List the runs there are.

    Example: moonpool runs -n 5
    """
    from agent.cli.runs_commands import list_runs

    raise typer.Exit(list_runs(limit))


@app.command()
def show(
    run: RunName,
    *,
    patch: Annotated[bool, typer.Option("--patch", help="Print the patch itself.")] = False,
) -> None:
    """Show what a run did and what came of it.

    Example: moonpool show last --patch
    """
    from agent.cli import runs_commands

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
    from agent.cli.runs_commands import ApplyOptions
    from agent.cli.runs_commands import apply as apply_run

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
) -> None:
    """Go on with a run whose process was killed, in its container, where that still stands.

    Example: moonpool resume last --export-only
    """
    from agent.cli import resume_command

    raise typer.Exit(
        resume_command.resume(run, model=model, export_only=export_only, json_lines=json_lines)
    )


@app.command()
def doctor() -> None:
    """Try everything that a run needs, and say what is missing.

    Example: moonpool doctor
    """
    from agent.cli import host_commands

    raise typer.Exit(host_commands.doctor())


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
    from agent.cli import prune_command

    raise typer.Exit(prune_command.prune(everything=everything, force=force))


@policy_app.command("check")
def policy_check(
    file: Annotated[str, typer.Argument(metavar="FILE")],
    *,
    ceiling: Ceiling = None,
    as_json: Annotated[bool, typer.Option("--json", help="The errors as JSON.")] = False,
) -> None:
    """Say whether a policy file can be used, or where it is wrong.

    Example: moonpool policy check my-policy.yaml
    """
    from agent.cli import policy_commands

    raise typer.Exit(policy_commands.check(file, ceiling=ceiling, as_json=as_json))


@policy_app.command("show")
def policy_show(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    ceiling: Ceiling = None,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Which files of the image it lets run, and why.")
    ] = False,
    image: Annotated[
        str | None, typer.Option("--image", metavar="IMG", help="Instead of the policy's own.")
    ] = None,
    ask: Annotated[
        bool, typer.Option("--ask", help="As where somebody can be asked, on a terminal.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For a program to read.")] = False,
    rules: Annotated[bool, typer.Option("--rules", help="Print every Landlock rule.")] = False,
) -> None:
    """Print a policy as it counts, with everything it extends; or what it amounts to in an image.

    Example: moonpool policy show default --resolved
    """
    from agent.cli import policy_commands, resolved_command

    if resolved:
        code = resolved_command.show(
            name, ceiling=ceiling, image=image, may_ask=ask, as_json=as_json, every_rule=rules
        )
    elif image is not None or ask or as_json or rules:
        raise typer.BadParameter("--image, --ask, --json and --rules go with --resolved")
    else:
        code = policy_commands.show(name, ceiling=ceiling)
    raise typer.Exit(code)


@policy_app.command("explain")
def policy_explain(
    policy: Annotated[str, typer.Argument(metavar="POLICY")],
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND")],
    *,
    ceiling: Ceiling = None,
    tool: Annotated[
        Literal[
            "bash",
            "read_file",
            "write_file",
            "edit_file",
            "delete_file",
            "list_dir",
            "search_files",
        ],
        typer.Option(help="Another tool than bash; its path stands for COMMAND."),
    ] = "bash",
    as_json: Annotated[bool, typer.Option("--json", help="The parts as JSON.")] = False,
) -> None:
    """Say what a policy makes of a command, by which rule, and which layer holds it.

    Example: moonpool policy explain default -- "git push"
    """
    from agent.cli import policy_commands

    code = policy_commands.explain(policy, command, ceiling=ceiling, tool=tool, as_json=as_json)
    raise typer.Exit(code)


@policy_app.command("schema")
def policy_schema() -> None:
    """Print the JSON Schema of policy files, for editors.

    Example: moonpool policy schema > policy.schema.json
    """
    from agent.cli import policy_commands

    raise typer.Exit(policy_commands.schema())


@policy_app.command("test")
def policy_test(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A name or a file.")],
    *,
    kernel: Annotated[
        bool,
        typer.Option(
            "--kernel",
            help="Run each example in a real container too, those that are denied as well, and "
            "say which refusals the kernel enforces.",
        ),
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option("-w", "--workspace", metavar="DIR", help="With --kernel: not an empty one."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    ceiling: Ceiling = None,
) -> None:
    """Try the examples of a policy. Exit code 2 if one does not hold.

    A denial that rests on the check alone is shown as such and is no failure.

    Example: moonpool policy test my-policy.yaml --kernel
    """
    from agent.cli import policy_trial

    raise typer.Exit(
        policy_trial.test(
            file, ceiling=ceiling, kernel=kernel, directory=directory, as_json=as_json
        )
    )


@policy_app.command("diff")
def policy_diff(
    one: Annotated[str, typer.Argument(metavar="A", help="A name or a file.")],
    other: Annotated[str, typer.Argument(metavar="B", help="A name or a file.")],
    *,
    both: Annotated[
        bool, typer.Option("--both", help="Also what A allows that B does not.")
    ] = False,
    kernel: Annotated[
        bool, typer.Option("--kernel", help="Also by the kernel's rules in the image of B.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Say what policy B allows that A does not. Exit code 0: nothing; 1: something.

    The policies are compared as written, without a ceiling.

    Example: moonpool policy diff default my-policy.yaml
    """
    from agent.cli import policy_compare

    raise typer.Exit(policy_compare.diff(one, other, both=both, kernel=kernel, as_json=as_json))


@policy_app.command("learn")
def policy_learn(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A run's id, its beginning, `last`, or its directory."),
    ],
    *,
    include_refused: Annotated[
        bool, typer.Option("--include-refused", help="Allow what the policy refused, too.")
    ] = False,
) -> None:
    """Print the smallest policy under which a run would have passed. A proposal: read it.

    Exit code 1 if some call of the run passes under no policy.

    Example: moonpool policy learn last > learned.yaml
    """
    from agent.cli import policy_compare

    raise typer.Exit(policy_compare.learn(run, include_refused=include_refused))


@image_app.command("list")
def image_list() -> None:
    """List the images that agents can work in.

    Example: moonpool image list
    """
    from agent.cli import image_commands

    raise typer.Exit(image_commands.list_images())


@image_app.command("build")
def image_build(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Build it again, on its base as it is today.")
    ] = False,
) -> None:
    """Build an image, unless it stands already.

    Example: moonpool image build python
    """
    from agent.cli import image_commands

    raise typer.Exit(image_commands.build(name, refresh=refresh))
