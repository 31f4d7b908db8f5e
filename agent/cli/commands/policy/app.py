"""The commands of ``moonpool policy`` and their options."""

from pathlib import Path
from typing import Annotated, Literal

import typer

policy_app = typer.Typer(help="What an agent may do.", no_args_is_help=True, rich_markup_mode=None)

Ceiling = Annotated[
    str | None,
    typer.Option(
        "--ceiling",
        metavar="FILE",
        help="A policy that nothing may exceed, beside the ceiling.yaml of your configuration "
        "directory: both hold.",
    ),
]


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
    from agent.cli.commands.policy import check as check_command

    raise typer.Exit(check_command.check(file, ceiling=ceiling, as_json=as_json))


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
    from agent.cli.commands.policy import check as check_command
    from agent.cli.commands.policy import resolved as resolved_command

    if resolved:
        code = resolved_command.show(
            name, ceiling=ceiling, image=image, may_ask=ask, as_json=as_json, every_rule=rules
        )
    elif image is not None or ask or as_json or rules:
        raise typer.BadParameter("--image, --ask, --json and --rules go with --resolved")
    else:
        code = check_command.show(name, ceiling=ceiling)
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
    from agent.cli.commands.policy import check as check_command

    code = check_command.explain(policy, command, ceiling=ceiling, tool=tool, as_json=as_json)
    raise typer.Exit(code)


@policy_app.command("schema")
def policy_schema() -> None:
    """Print the JSON Schema of policy files, for editors.

    Example: moonpool policy schema > policy.schema.json
    """
    from agent.cli.commands.policy import check as check_command

    raise typer.Exit(check_command.schema())


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
    from agent.cli.commands.policy import test as test_command

    raise typer.Exit(
        test_command.test(
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
    from agent.cli.commands.policy import compare as compare_command

    raise typer.Exit(compare_command.diff(one, other, both=both, kernel=kernel, as_json=as_json))


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
    from agent.cli.commands.policy import compare as compare_command

    raise typer.Exit(compare_command.learn(run, include_refused=include_refused))
