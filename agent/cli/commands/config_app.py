"""``moonpool config`` and ``moonpool models`` as commands with their options."""

from typing import Annotated

import typer

config_app = typer.Typer(
    help="What you wrote down once for every run, in config.yaml.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@config_app.command("show")
def config_show(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Print what counts, and where each value comes from.

    The file is config.yaml in your configuration directory, or the one that MOONPOOL_CONFIG names.
    A flag counts before the environment, that before the file, and that before what is built in;
    where a cloud is named in the file, its region and project there count before the cloud's own
    variables. No key stands in the file, only the name of the variable that holds it. Nobody else
    may be able to write it, and it may not lie in the workspace. FILEs are relative to it.
    Everything but version may be left out:

    \b
    version: 1
    model: anthropic:NAME          # instead of -m
    policy: NAME or FILE           # instead of -p
    providers:
      anthropic:
        service: api               # or bedrock, or vertex
        base_url: https://HOST     # a gateway
        api_key_env: NAME          # the variable that holds the key (api)
        auth_token_env: NAME       # or a bearer token (api)
        region: NAME               # bedrock, vertex
        project: NAME              # vertex
      openai:
        base_url: https://HOST/v1
        api_key_env: NAME
    prices: FILE                   # what a model costs, for budgets in dollars
    instructions: FILE             # your own, for every run
    context_files: true            # false: show the model no AGENTS.md and the like
    telemetry:
      otlp_endpoint: https://HOST  # where spans go; without: nowhere
      headers_env: NAME            # the variable that holds its headers

    Example: moonpool config show --json
    """
    from agent.cli.commands import config as config_command

    raise typer.Exit(config_command.show(as_json=as_json))


def models(
    provider: Annotated[
        str | None,
        typer.Argument(metavar="PROVIDER", help="anthropic, openai or script; without: as for -m."),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """List the models that a provider's service offers, as -m takes them.

    Example: moonpool models anthropic
    """
    from agent.cli.commands import models as models_command

    raise typer.Exit(models_command.models(provider, as_json=as_json))
