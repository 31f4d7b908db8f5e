"""What the operator's configuration says to a command: read once, and overruled by its flags.

The one way from ``config.yaml`` and ``-m`` to a model that is used: whoever opens one past this
forgets the configuration, or that it may not lie in the workspace.

Precedence: flag, then environment, then configuration, then what is built in.
"""

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent.config import environment
from agent.config.instructions import Instructions
from agent.config.instructions import brief as made
from agent.config.values import AnthropicApi, Configuration
from agent.errors import ModelAuth, UsageError, extra_missing
from agent.models.interface import Model, ToolForm
from agent.models.open_model import DEFAULT_MODEL, Host, host_of
from agent.models.open_model import open_model as opened
from agent.models.pricing import ModelInfo, PriceEntry, facts_of, listed_models
from agent.preparation import workspace
from policies.frozen import dataclass
from policies.policy import Policy
from sandbox.workspace.source import Workspace, on_host

if TYPE_CHECKING:
    from agent.observe.otlp import TelemetrySettings
    from agent.review.opinion.asking import Reviewer

BUILT_IN_POLICY = "default"
_ALIKE = 0.85
"""How near the name of a model must be to one of our list to be told of."""
_LIST_PRICES = (
    "dollars are counted by the list prices of the provider's own API; who stands at the base URL "
    "may bill others: --prices FILE says which"
)


def load(*, root: Workspace | None) -> Configuration:
    """The operator's configuration; an empty one where there is no file.

    Args:
        root: the workspace, see `refuse_in`; None where it is not known yet, or there is none.

    Raises:
        UsageError: it can't be used, or lies in the workspace.
    """
    path, named = environment.configuration_file()
    if not (named or environment.stands(path)):
        return Configuration()
    if root is not None:
        _refuse_inside(path, root, "")
    from agent.config.file import load as read

    configuration = read(path)
    if root is not None:
        refuse_in(configuration, root)
    return configuration


def refuse_in(configuration: Configuration, root: Workspace) -> None:
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
    return environment.known_secrets(configuration.secret_variables())


def model_name(named: str | None, configuration: Configuration) -> str:
    """The model that ``-m`` names, or the one that counts where it says nothing.

    Raises:
        UsageError: there is no key for one.
    """

    chosen = named if named is not None else configuration.model
    if chosen is not None:
        return chosen
    match configuration.anthropic:
        case AnthropicApi(api_key_env=key, auth_token_env=token):
            names = [key, token] if key or token else ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"]
            if any(environment.environ().get(name) for name in names if name is not None):
                return DEFAULT_MODEL
    raise UsageError(
        "no model: set ANTHROPIC_API_KEY, or name one in config.yaml or with -m openai:NAME or "
        "responses:NAME; -m script:FILE plays a recorded conversation and needs no key"
    )


def open_model(named: str | None, configuration: Configuration) -> Model:
    """The model of a command: of ``-m``, or of the configuration.

    Raises:
        UsageError: there is no such model.
        ModelAuth: there is no credential for it.
    """

    name = model_name(named, configuration)
    try:
        return opened(name, environ=environment.environ(), configuration=configuration)
    except UsageError as error:
        if named is None and configuration.model is not None:
            where = f"{configuration.file}:{configuration.lines.get('model', 0)}"
            raise UsageError(f"{where}: model: {error}") from error
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedModel:
    """A command's model with all that is settled before it is asked anything."""

    model: Model
    facts: ModelInfo
    telemetry: "TelemetrySettings | None"
    """None: the operator configured none, and nothing is sent anywhere."""
    reviewer: "Reviewer | None" = None
    """Who gives the second opinion that the policy wants; None: it wants none."""
    notices: tuple[str, ...] = ()
    """What a person should know of it before anything is done."""


def ready(
    named: str | None,
    policy: Policy,
    configuration: Configuration,
    *,
    prices: Path | None,
    batch_usd: bool = False,
) -> PreparedModel:
    """Open a command's model, and refuse what the policy asks of it in vain.

    Args:
        batch_usd: it is used in a batch that has a budget in dollars.

    Raises:
        UsageError: there is no such model, its price is not known and must be, it lacks what the
            policy lists, or a file that is named can't be used.
        ModelAuth: there is no credential for it.
    """

    model = open_model(named, configuration)
    host, facts = _known_facts(model.name, prices, configuration)
    if policy.budget.usd is not None:
        _refuse_dollars(f"policy {policy.name} has budget.usd", model.name, host, facts)
    if batch_usd:
        _refuse_dollars("the batch has a budget in dollars", model.name, host, facts)
    if policy.server_tools:
        from agent.models.server_tool_rules import refuse_what_cannot_be  # few policies list one

        refuse_what_cannot_be(policy, model.name, host)
    listed = prices is None and configuration.prices is None
    notices: tuple[str, ...] = ()
    in_dollars = batch_usd or policy.budget.usd is not None
    if host is Host.GATEWAY and in_dollars and listed:
        notices = (_LIST_PRICES,)
    if facts.prices is None and facts.context_tokens is None:
        from policies.suggestion import did_you_mean

        near = did_you_mean(model.name, listed_models(), cutoff=_ALIKE)
        notices += (f"price and window of {model.name} are not known{near}",) if near else ()
    return PreparedModel(
        model=model,
        facts=facts,
        telemetry=telemetry(configuration),
        reviewer=reviewer(policy, configuration, prices=prices, batch_usd=batch_usd),
        notices=notices,
    )


def reviewer(
    policy: Policy,
    configuration: Configuration,
    *,
    prices: Path | None,
    batch_usd: bool = False,
) -> "Reviewer | None":
    """Who gives the second opinion that a policy wants; None where it wants none.

    Raises:
        UsageError: it demands one and names nobody, there is no such model, or its price is not
            known and must be.
        ModelAuth: there is no credential for it.
    """
    rules = policy.review
    if rules.model is None:
        if rules.require is None:
            return None
        raise UsageError(
            f"policy {policy.name} exports only what a reviewer approves (review.require), and "
            "names no reviewer: say --reviewer MODEL"
        )
    try:
        model = opened(rules.model, environ=environment.environ(), configuration=configuration)
    except (UsageError, ModelAuth) as error:
        raise type(error)(f"the reviewer (review.model, --reviewer): {error}") from error
    host, facts = _known_facts(model.name, prices, configuration)
    if policy.budget.usd is not None or batch_usd:
        what = f"policy {policy.name} has budget.usd, from which its reviewer is paid"
        _refuse_dollars(what, model.name, host, facts)
    from agent.review.opinion.asking import Reviewer  # few runs have one

    return Reviewer(model=model, facts=facts)


def unasked(
    named: str,
    configuration: Configuration,
    *,
    prices: Path | None,
    reviewer: "Reviewer | None" = None,
) -> PreparedModel:
    """As `ready`, for a run whose model is asked nothing more.

    Raises:
        UsageError: a file that is named can't be used.
    """
    from agent.past_runs.resume import UnaskedModel

    _, facts = _known_facts(named, prices, configuration)
    return PreparedModel(
        model=UnaskedModel(named),
        facts=facts,
        telemetry=telemetry(configuration),
        reviewer=reviewer,
    )


def _known_facts(
    model: str, prices: Path | None, configuration: Configuration
) -> tuple[Host, ModelInfo]:
    """Where a model is served, and its prices and limits.

    The operator's own, by flag or configuration, go before ours. Ours are of the providers' own
    services: a cloud bills by another list, and does less.
    """

    named = configuration.prices if prices is None else prices
    own: tuple[PriceEntry, ...] = ()
    if named is not None:
        from agent.models.price_list import load as load_prices

        own = load_prices(named)
    host = host_of(model, environ=environment.environ(), configuration=configuration)
    found = facts_of(model, own, listed=not host.is_cloud)
    if configuration.tool_form is not None:
        found = replace(found, tool_form=ToolForm(configuration.tool_form))
    asked = configuration.max_output_tokens
    if asked is not None:
        found = replace(found, output_tokens=min(asked, found.output_tokens or asked))
    return host, found


def _refuse_dollars(what: str, model: str, host: Host, facts: ModelInfo) -> None:
    """Raises UsageError for a budget in dollars that could not be kept."""
    if facts.prices is None:
        where = f" on {host.value}" if host.is_cloud else ""
        raise UsageError(
            f"{what}, but the price of {model}{where} is not known: "
            "supply it with --prices FILE, as\n{version: 1, models: [{model: "
            f"{json.dumps(model)}, usd_per_million: {{input: 1.25, output: 10}}}}]}}"
        )


def brief(
    instructions: Path | None,
    configuration: Configuration,
    *,
    context_files: bool | None,
    workspace: Workspace,
    skills: Path | Literal["none"] | None = None,
    workspaces: Collection[Path] = (),
) -> Instructions:
    """What the model is given beside its task: by flags, or by the configuration.

    Args:
        skills: their folder; None: the configuration's, or the operator's own where it is there.
        workspaces: further ones, of a batch.

    Raises:
        UsageError: instructions or skills can't be read, or lie in the workspace.
    """
    folder = configuration.skills if skills is None else skills
    if folder is None and environment.stands(environment.skill_directory()):
        folder = environment.skill_directory()
    found = made(
        configuration.instructions if instructions is None else instructions,
        context_files=configuration.context_files if context_files is None else context_files,
        workspace=on_host(workspace),
        skills=None if folder == "none" else folder,
        workspaces=workspaces,
    )
    found.skills.refuse_secrets(known_secrets(configuration))
    return found


def telemetry(configuration: Configuration) -> "TelemetrySettings | None":
    """Where spans go; None: nowhere. No environment variable says otherwise.

    Raises:
        UsageError: what is configured can't be used.
    """
    if configuration.telemetry is None:
        return None

    from importlib.util import find_spec

    if find_spec("opentelemetry.sdk") is None:
        raise extra_missing("telemetry: is configured and not installed", "otel")
    from agent.observe.otlp import telemetry_settings  # http.client and ssl

    wanted = configuration.telemetry
    return telemetry_settings(wanted.otlp_endpoint, wanted.headers_env, environment.environ())


def policy_name(named: str | None, configuration: Configuration) -> str:
    """The policy that ``-p`` names, or the one that counts where it says nothing."""
    if named is not None:
        return named
    return configuration.policy if configuration.policy is not None else BUILT_IN_POLICY


def _refuse_inside(path: Path, root: Workspace, what: str) -> None:
    if workspace.is_inside(path, root):
        raise UsageError(
            f"{path}{what} lies in the workspace, and a repository decides no model: keep it "
            "somewhere else (MOONPOOL_CONFIG=FILE says where)"
        )
