"""What the operator's configuration says to a command: read once, and overruled by its flags.

The one way from ``config.yaml`` and ``-m`` to a model that is used: whoever opens one past this
forgets the configuration, or that it may not lie in the workspace.

Precedence: flag, then environment, then configuration, then what is built in.
"""

# Imports stand where they are needed, so that a command loads no SDK it does not use.
# ruff: noqa: PLC0415

import os
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli import settings, workspace
from agent.configuration import Api, Configuration
from agent.errors import UsageError

if TYPE_CHECKING:
    from agent.briefing import Briefing
    from agent.collector import TelemetrySettings
    from agent.messages import Model
    from agent.models.facts import Facts

BUILT_IN_POLICY = "default"


def load(*, root: Path | None) -> Configuration:
    """The operator's configuration; an empty one where there is no file.

    Args:
        root: the workspace, see `refuse_in`; None where it is not known yet, or there is none.

    Raises:
        UsageError: it can't be used, or lies in the workspace.
    """
    path, named = settings.configuration_file()
    if not (named or _stands(path)):
        return Configuration()
    if root is not None:
        _refuse_inside(path, root, "")
    from agent.configuration_file import load as read

    configuration = read(path)
    if root is not None:
        refuse_in(configuration, root)
    return configuration


def refuse_in(configuration: Configuration, root: Path) -> None:
    """A repository decides no model: the workspace holds neither the file nor those it names.

    Raises:
        UsageError: it does.
    """
    if configuration.file is not None:
        _refuse_inside(configuration.file, root, "")
    for key, file in configuration.paths().items():
        _refuse_inside(file, root, f", which {key} of {configuration.file} names,")


def known_secrets(configuration: Configuration) -> tuple[str, ...]:
    """Values that must not get into a record."""
    return settings.known_secrets(configuration.secret_variables())


def model_name(named: str | None, configuration: Configuration) -> str:
    """The model that ``-m`` names, or the one that counts where it says nothing.

    Raises:
        UsageError: there is no key for one.
    """
    from agent.models.registry import DEFAULT_MODEL

    chosen = named if named is not None else configuration.model
    if chosen is not None:
        return chosen
    match configuration.anthropic:
        case Api(api_key_env=key, auth_token_env=token):
            names = [key, token] if key or token else ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"]
            if any(settings.environ().get(name) for name in names if name is not None):
                return DEFAULT_MODEL
    raise UsageError(
        "no model: set ANTHROPIC_API_KEY, or name one with -m or in config.yaml; -m script:FILE "
        "plays a recorded conversation and needs no key"
    )


def open_model(named: str | None, configuration: Configuration) -> "Model":
    """The model of a command: of ``-m``, or of the configuration.

    Raises:
        UsageError: there is no such model.
        ModelAuth: there is no credential for it.
    """
    from agent.models.registry import open_model as opened

    name = model_name(named, configuration)
    try:
        return opened(name, environ=settings.environ(), configuration=configuration)
    except UsageError as error:
        if named is None and configuration.model is not None:
            where = f"{configuration.file}:{configuration.lines.get('model', 0)}"
            raise UsageError(f"{where}: model: {error}") from error
        raise


def known_facts(model: str, prices: Path | None, configuration: Configuration) -> "Facts":
    """Prices and limits of a model; the operator's own, by flag or configuration, before ours.

    Raises:
        UsageError: the operator's file is none.
    """
    from agent.models.facts import facts_of, load

    named = configuration.prices if prices is None else prices
    return facts_of(model, load(named) if named is not None else ())


def brief(
    instructions: Path | None,
    configuration: Configuration,
    *,
    context_files: bool | None,
    workspace: Path,
) -> "Briefing":
    """What the model is given beside its task: by flags, or by the configuration.

    Raises:
        UsageError: the instructions can't be read, or lie in the workspace.
    """
    from agent.briefing import brief as made

    return made(
        configuration.instructions if instructions is None else instructions,
        context_files=configuration.context_files if context_files is None else context_files,
        workspace=workspace,
    )


def telemetry(configuration: Configuration) -> "TelemetrySettings | None":
    """Where spans go; None: nowhere. No environment variable says otherwise.

    Raises:
        UsageError: what is configured can't be used.
    """
    if configuration.telemetry is None:
        return None
    from agent.cli import observing

    wanted = configuration.telemetry
    return observing.telemetry(wanted.otlp_endpoint, wanted.headers_env, settings.environ())


def policy_name(named: str | None, configuration: Configuration) -> str:
    """The policy that ``-p`` names, or the one that counts where it says nothing."""
    if named is not None:
        return named
    return configuration.policy if configuration.policy is not None else BUILT_IN_POLICY


def _refuse_inside(path: Path, root: Path, what: str) -> None:
    if workspace.is_inside(path, root):
        raise UsageError(
            f"{path}{what} lies in the workspace, and a repository decides no model: keep it "
            "somewhere else (MOONPOOL_CONFIG=FILE says where)"
        )


def _stands(path: Path) -> bool:
    """What can't be looked at is no absence."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass  # reading it says what is wrong
    return True
