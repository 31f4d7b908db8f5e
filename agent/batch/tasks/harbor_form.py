"""The keys of a Harbor task's ``task.toml``: all that Harbor 0.26 knows, and what is refused.

Owns the form and the reasons. Harbor itself passes over a key that it does not know, and a task
whose ``network_mode`` is misspelt stays on the public network; here such a key is an error.

Source: the models of the package ``harbor`` 0.26.0 (``harbor/models/task/config.py``).
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from policies.file.fields import EnvName, StrictModel
from policies.file.scalars import env_value

NetworkMode = Literal["no-network", "public", "allowlist"]
Seconds = Annotated[float, Field(gt=0)]
User = str | int | None


def _literal(text: str) -> str:
    if "${" in text:
        raise ValueError(
            "a value written out is expected: variables of the host never enter a sandbox"
        )
    return env_value(text)


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _megabytes(value: object) -> object:
    """``2G``, as older files have it."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("expected a size such as `2G`")
    number, unit = value.strip()[:-1], value.strip()[-1].upper()
    try:
        return int(float(number) * {"G": 1024, "M": 1, "K": 1 / 1024}[unit])
    except (ValueError, KeyError, OverflowError):
        raise ValueError("expected a size such as `2G`") from None


Environment = dict[EnvName, Annotated[str, AfterValidator(_literal)]]
Megabytes = Annotated[int, Field(ge=1)]
OldSize = Annotated[int, BeforeValidator(_megabytes), Field(ge=1)]


class HarborPhase(StrictModel):
    network_mode: NetworkMode | None = None
    allowed_hosts: list[str] | None = None


class HarborAgent(HarborPhase):
    timeout_sec: Seconds | None = None
    user: User = None


class HarborVerifier(HarborPhase):
    timeout_sec: Seconds = 600.0
    env: Environment = Field(default_factory=dict)
    user: User = None
    environment_mode: Literal["shared", "separate"] | None = None
    environment: Any = None
    collect: list[Any] = Field(default_factory=list)


class HarborEnvironment(HarborPhase):
    build_timeout_sec: Seconds = 600.0
    docker_image: str | None = None
    os: Annotated[Literal["linux", "windows"], BeforeValidator(_lower)] = "linux"
    cpus: Annotated[float, Field(gt=0)] | None = None
    memory_mb: Megabytes | None = None
    storage_mb: Megabytes | None = None
    memory: OldSize | None = None
    storage: OldSize | None = None
    gpus: int | None = None
    gpu_types: list[str] | None = None
    tpu: Any = None
    mcp_servers: list[Any] = Field(default_factory=list)
    env: Environment = Field(default_factory=dict)
    skills_dir: str | None = None
    healthcheck: Any = None
    workdir: str | None = None
    allow_internet: bool | None = None


class HarborAuthor(StrictModel):
    name: str
    email: str | None = None


class HarborPackage(StrictModel):
    name: str
    version: str | None = None
    description: str = ""
    authors: list[HarborAuthor] = Field(default_factory=list)
    keywords: list[str] = Field(default_factory=list)


class HarborSolution(StrictModel):
    env: dict[str, str] = Field(default_factory=dict)


class HarborFile(StrictModel):
    """A whole ``task.toml``."""

    schema_version: str = "1.4"
    version: str = ""
    task: HarborPackage | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    verifier: HarborVerifier = HarborVerifier()
    agent: HarborAgent = HarborAgent()
    environment: HarborEnvironment = HarborEnvironment()
    solution: HarborSolution = HarborSolution()
    source: str | None = None
    multi_step_reward_strategy: Literal["mean", "final"] | None = None
    steps: list[Any] = Field(default_factory=list)
    artifacts: list[Any] = Field(default_factory=list)


_MODELS: dict[str, type[StrictModel]] = {
    "": HarborFile, "task": HarborPackage, "verifier": HarborVerifier, "agent": HarborAgent,
    "environment": HarborEnvironment, "solution": HarborSolution, "authors": HarborAuthor,
}  # fmt: skip
_NO_NETWORK = (
    "asks for a network, and neither the agent nor the verification has one here: what they need "
    'has to be in the image; then write network_mode = "no-network"'
)
_GPUS = "asks for GPUs, which no sandbox is given"
_ROOT = "asks for root, and commands run here as a user of the sandbox's own: leave it out"
_FRESH = "verification runs here in a fresh container of the same image, with the patch alone"


def known_keys(path: tuple[str | int, ...]) -> list[str]:
    """The keys that may stand in the table at a place."""
    names = [part for part in path if isinstance(part, str)]
    return list(_MODELS[names[-1] if names else ""].model_fields)


def refused(file: HarborFile) -> Iterator[tuple[str, str]]:
    """What a task asks for that can't be given, by key, with the reason."""
    environment, verifier, agent = file.environment, file.verifier, file.agent
    yield from _networks(file)
    asked: list[tuple[str, object, str]] = [
        ("environment.os", environment.os == "windows", "asks for Windows, not Linux"),
        ("environment.gpus", environment.gpus, _GPUS),
        ("environment.gpu_types", environment.gpu_types, _GPUS),
        ("environment.tpu", environment.tpu, "asks for a TPU, which no sandbox is given"),
        ("environment.mcp_servers", environment.mcp_servers,
         "the agent has no MCP servers here: it works with the tools of its policy"),
        ("environment.skills_dir", environment.skills_dir,
         "the agent reads no skills from the environment, which is untrusted here"),
        ("environment.healthcheck", environment.healthcheck,
         "nothing of the image is started here that could be waited for: see a policy's services"),
        ("steps", file.steps, "is of several steps, and a run here is one: make a task of each"),
        ("artifacts", file.artifacts, "nothing but the patch comes out of a sandbox"),
        ("verifier.collect", verifier.collect, _FRESH),
        ("verifier.environment", verifier.environment, _FRESH),
        ("verifier.environment_mode", verifier.environment_mode == "separate", _FRESH),
        ("agent.user", agent.user in _ROOTS, _ROOT),
        ("verifier.user", verifier.user in _ROOTS, _ROOT),
    ]  # fmt: skip
    yield from ((key, reason) for key, value, reason in asked if value)
    for new, old in (("memory_mb", "memory"), ("storage_mb", "storage")):
        both = getattr(environment, new), getattr(environment, old)
        if None not in both and both[0] != both[1]:
            yield f"environment.{old}", f"says another size than {new}: leave it out"


_ROOTS = ("root", "0", 0)


def _networks(file: HarborFile) -> Iterator[tuple[str, str]]:
    """Of each phase what it is given in the end: its own word, or that of the environment."""
    environment = file.environment
    baseline = environment.network_mode
    key = "environment.network_mode"
    if baseline is None and environment.allow_internet is not None:
        baseline = "public" if environment.allow_internet else "no-network"
        key = "environment.allow_internet"
    told = set()
    for name, phase in (("agent", file.agent), ("verifier", file.verifier)):
        mode = phase.network_mode or baseline
        where = f"{name}.network_mode" if phase.network_mode else key
        if mode not in {None, "no-network"} and where not in told:
            told.add(where)
            yield where, _NO_NETWORK
    for name in ("environment", "agent", "verifier"):
        table: HarborPhase = getattr(file, name)
        if table.allowed_hosts is not None and table.network_mode != "allowlist":
            yield f"{name}.allowed_hosts", 'is for network_mode = "allowlist" only: leave it out'


def says_nothing_of_network(file: HarborFile) -> bool:
    """Nobody wrote a mode, and Harbor would give the public network."""
    return (
        file.environment.network_mode is None
        and file.environment.allow_internet is None
        and None in (file.agent.network_mode, file.verifier.network_mode)
    )
