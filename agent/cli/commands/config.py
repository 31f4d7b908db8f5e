"""``moonpool config show``."""

from collections.abc import Iterator, Mapping

from agent import exit_codes
from agent.cli.arguments import Command, Given
from agent.cli.options import AS_JSON
from agent.cli.saying import print_json
from agent.config import environment
from agent.config.values import AnthropicApi, Bedrock, Configuration, Vertex
from agent.errors import UsageError
from agent.models import open_model
from agent.models.interface import ToolForm
from agent.preparation import model as model_setup
from agent.terminal.screen import Line, open_screen
from agent.untrusted_text import one_line
from policies.file.scalars import spelled_size
from policies.frozen import dataclass

_BUILT_IN = "built in"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigSetting:
    """One value that counts."""

    key: str
    value: str | bool | None
    """None: nothing."""
    source: str
    """``built in``, the name of a variable, or a line of the file."""


def show(given: Given) -> int:
    """Print what counts, and why."""
    configuration = model_setup.load(root=None)
    path, _ = environment.configuration_file()
    rows = list(_settings(configuration, environment.environ()))
    if given[AS_JSON]:
        data = {
            "file": None if configuration.file is None else str(configuration.file),
            "settings": {row.key: {"value": row.value, "source": row.source} for row in rows},
        }
        print_json(data)
        return exit_codes.DONE
    print(one_line(str(path) if configuration.file else f"{path} (not there)"))
    screen = open_screen(environment.environ())
    width = max(len(row.key) for row in rows)
    for row in rows:
        line = Line(f"{row.key:<{width}}  {one_line(_spelled(row.value))}  ")
        screen.print_hanging(line.append(row.source, "dim"), margin="    ")
    return exit_codes.DONE


def _spelled(value: object) -> str:
    """As it would stand in the file."""
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ConfigSources:
    """Looks a value up where it may stand, in the order in which that counts."""

    configuration: Configuration
    environ: Mapping[str, str]

    def setting(
        self,
        key: str,
        said: object,
        *,
        before: str = "",
        after: tuple[str, ...] = (),
        built_in: str | bool | None = None,
    ) -> ConfigSetting:
        """``before`` and ``after``: variables that count before the file, and after it."""
        from agent.config.secrets import without_keys

        given = self.environ.get(before)
        if given:
            return ConfigSetting(key=key, value=without_keys(given), source=before)
        line = self.configuration.lines.get(key)
        if line is not None and said is not None:
            value = said if isinstance(said, bool) else str(said)
            return ConfigSetting(key=key, value=value, source=f"line {line}")
        for name in after:
            if self.environ.get(name):
                return ConfigSetting(key=key, value=self.environ[name], source=name)
        return ConfigSetting(key=key, value=built_in, source=_BUILT_IN)

    def key(self, key: str, named: str | None, usual: str) -> ConfigSetting:
        """The variable that holds a secret, and never the secret."""
        found = self.setting(key, named, built_in=usual)
        state = "set" if self.environ.get(str(found.value)) else "not set"
        return ConfigSetting(key=key, value=f"{found.value} ({state})", source=found.source)


def _settings(configuration: Configuration, environ: Mapping[str, str]) -> Iterator[ConfigSetting]:
    from agent.models.open_model import DEFAULT_MAX_TOKENS
    from sandbox.prune import DEFAULT_BUDGET_BYTES

    sources = _ConfigSources(configuration=configuration, environ=environ)
    yield sources.setting("model", configuration.model, built_in=_built_in_model(configuration))
    yield sources.setting(
        "policy", configuration.policy, built_in=model_setup.policy_name(None, Configuration())
    )
    yield from _anthropic(configuration, sources)
    openai, at = configuration.openai, "providers.openai"
    yield sources.setting(f"{at}.base_url", openai.base_url, before="OPENAI_BASE_URL")
    yield sources.key(f"{at}.api_key_env", openai.api_key_env, "OPENAI_API_KEY")
    built_in: dict[str, str | bool] = {
        "context_files": True,
        "max_output_tokens": str(DEFAULT_MAX_TOKENS),
        "tool_form": str(ToolForm.AUTO),
    }
    for key in ("prices", "instructions", "skills", *built_in):
        said = getattr(configuration, key)
        yield sources.setting(key, said, built_in=built_in.get(key))
    budget = configuration.cache_budget_bytes
    yield sources.setting(
        "cache_budget",
        None if budget is None else spelled_size(budget),
        built_in=spelled_size(DEFAULT_BUDGET_BYTES),
    )
    telemetry = configuration.telemetry
    if telemetry is None:
        yield sources.setting("telemetry", None)
    else:
        yield sources.setting("telemetry.otlp_endpoint", telemetry.otlp_endpoint)
        if telemetry.headers_env is not None:
            yield sources.key("telemetry.headers_env", telemetry.headers_env, "")


def _anthropic(configuration: Configuration, sources: _ConfigSources) -> Iterator[ConfigSetting]:
    at = "providers.anthropic"
    match configuration.anthropic:
        case AnthropicApi() as api:
            yield sources.setting(f"{at}.service", "api", built_in="api")
            yield sources.setting(f"{at}.base_url", api.base_url, before="ANTHROPIC_BASE_URL")
            if api.auth_token_env is None:
                yield sources.key(f"{at}.api_key_env", api.api_key_env, "ANTHROPIC_API_KEY")
            if api.api_key_env is None:
                yield sources.key(
                    f"{at}.auth_token_env", api.auth_token_env, "ANTHROPIC_AUTH_TOKEN"
                )
        case Bedrock() as cloud:
            yield sources.setting(f"{at}.service", "bedrock")
            base_url = "ANTHROPIC_BEDROCK_BASE_URL"
            yield sources.setting(f"{at}.base_url", cloud.base_url, before=base_url)
            yield sources.setting(f"{at}.region", cloud.region, after=open_model.AWS_REGION)
        case Vertex() as cloud:
            yield sources.setting(f"{at}.service", "vertex")
            base_url = "ANTHROPIC_VERTEX_BASE_URL"
            yield sources.setting(f"{at}.base_url", cloud.base_url, before=base_url)
            yield sources.setting(f"{at}.project", cloud.project, after=open_model.GOOGLE_PROJECT)
            yield sources.setting(f"{at}.region", cloud.region, after=open_model.GOOGLE_REGION)


def _built_in_model(configuration: Configuration) -> str | None:
    if configuration.model is not None:
        return None
    try:
        return model_setup.model_name(None, configuration)
    except UsageError:
        return None


COMMAND = Command(
    show,
    (AS_JSON,),
    """

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
      openai:                      # and responses
        base_url: https://HOST/v1
        api_key_env: NAME
    prices: FILE                   # what a model costs, for budgets in dollars
    instructions: FILE             # your own, for every run
    skills: DIR                    # instead of skills/ in your configuration directory
    context_files: true            # false: show the model no AGENTS.md and the like
    max_output_tokens: 8192        # of one answer, where a service gives less than 32,000
    tool_form: auto                # text: the model writes its calls as text; native: never
    cache_budget: 20GiB            # for all that the engine keeps of ours to be faster
    telemetry:
      otlp_endpoint: https://HOST  # where spans go; without: nowhere
      headers_env: NAME            # the variable that holds its headers

    Example: moonpool config show --json
    """,
)
