"""The keys of a policy in one table: how each is decoded, where it stands, and what bounds it.

Decoding and writing out (`schema`), composing (`compose`), ceilings and comparing
(`policies.operator`) all go by this table: a key that is added here is known to each of them.
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from operator import attrgetter
from typing import Annotated, Any, Literal

from pydantic import Field

from policies.file.fields import (
    Command,
    CommandLine,
    Duration,
    EnvName,
    EnvValue,
    Finding,
    HistoryName,
    ImageName,
    NetworkName,
    Pattern,
    Place,
    PlainName,
    ProgramName,
    ReviewerName,
    SecretName,
    Size,
    StrictModel,
    Waiting,
)
from policies.file.scalars import spelled_duration, spelled_size
from policies.frozen import dataclass
from policies.policy import (
    BudgetLimits,
    ContainerLimits,
    ExportRules,
    History,
    PathRules,
    Policy,
    ReviewRules,
    ServerTool,
    SetupRules,
    Tool,
    WorkspaceRules,
)


class ServiceEntry(StrictModel):
    """A database or a cache that tests need, in a domain of its own, on loopback."""

    name: PlainName
    command: CommandLine = Field(
        description="The shell line that starts it, in a directory of its own, which is its HOME "
        "and the one place it may write; empty at each start of the container."
    )
    ready: CommandLine = Field(
        description="The shell line that succeeds once it can be used; tried until then."
    )
    programs: tuple[ProgramName, ...] = Field(
        default=(),
        description="What may run in its domain beside the programs that the two lines name.",
    )
    timeout: Duration = Field(
        default=60.0, description="How long it may take until it is ready; unless said, `1m`."
    )


class Combination(Enum):
    """What holds where two say the same key and neither may be exceeded."""

    LESSER = auto()
    """The smaller of the two values."""
    COMMON = auto()
    """The entries that stand in both lists."""
    EITHER = auto()
    """The entries of both lists: each takes something away."""
    PATTERNS = auto()
    """Patterns in gitignore form that match whatever either list matches: what they match is
    guarded."""
    COMMON_PATTERNS = auto()
    """Patterns in gitignore form that match what both lists do."""
    OWN = auto()
    """As for no other key: image, commands, paths and environment."""


PROTECTING = frozenset({Combination.EITHER, Combination.PATTERNS})
"""Lists whose entries take away: unsaid, they are empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyKey:
    """One key of a policy."""

    path: str
    """As written, with dots between: ``limits.memory``."""
    field: str
    """Where its value stands in a `Policy`: ``limits.memory_bytes``."""
    type: Any
    """What its value is decoded as; of a list: each entry."""
    about: str | None = None
    """For the JSON Schema."""
    combination: Combination = Combination.OWN

    @property
    def section(self) -> str:
        return self.path.rpartition(".")[0]

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    def of(self, policy: Policy) -> Any:
        """The value that a policy has for this key."""
        return attrgetter(self.field)(policy)

    def written(self, value: Any) -> Any:
        """The value as it stands in a file: in what YAML and JSON both have."""
        return dict(value) if isinstance(value, Mapping) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class ListKey(PolicyKey):
    """A key whose list a file replaces, or adds to with ``+``, or takes from with ``-``."""

    removed: Any = None
    """What an entry of the list with ``-`` is decoded as; None: like any entry."""

    def written(self, value: Any) -> Any:
        return list(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundKey(PolicyKey):
    """A key whose value is more or less than another."""

    combination: Combination = Combination.LESSER
    spelled: Callable[[Any], str]
    """For people: ``4GiB``."""
    rank: Callable[[Any], float] = float
    is_text: bool = False
    """In a file it stands as it is spelled, with its unit."""

    def exceeds(self, value: Any, bound: Any) -> bool:
        """Is it more than the bound? None is more than any value, and bounds nothing."""
        if bound is None:
            return False
        return value is None or self.rank(value) > self.rank(bound)

    def written(self, value: Any) -> Any:
        return self.spelled(value) if self.is_text else value


def _number_text(value: float | None) -> str:
    return "no bound" if value is None else f"{value:.12g}"


def _requirement_text(value: object) -> str:
    return "nothing" if value is None else str(value)


def _flag(path: str, about: str) -> BoundKey:
    return BoundKey(
        path=path, field=path, type=bool, about=about, spelled=lambda it: str(it).lower()
    )


def _number(path: str, kind: Any, about: str | None = None) -> BoundKey:
    return BoundKey(path=path, field=path, type=kind, about=about, spelled=_number_text)


def _size(path: str, least: int = 0, about: str | None = None) -> BoundKey:
    field = path if path.endswith("_bytes") else f"{path}_bytes"
    kind = Annotated[Size, Field(ge=least)]
    return BoundKey(
        path=path, field=field, type=kind, about=about, spelled=spelled_size, is_text=True
    )


def _duration(path: str, about: str) -> BoundKey:
    field = f"{path}_s"
    return BoundKey(
        path=path, field=field, type=Duration, about=about, spelled=spelled_duration, is_text=True
    )


def _list(path: str, kind: Any, combination: Combination, about: str, **of: Any) -> ListKey:
    return ListKey(path=path, field=path, type=kind, combination=combination, about=about, **of)


_COUNT = Annotated[int, Field(ge=1)]
_HISTORIES = (History.NONE, History.HEAD, History.FULL)

KEYS: tuple[PolicyKey, ...] = (
    PolicyKey(path="image", field="image", type=ImageName,
              about="What the container is made of: a recipe's name, an image reference that "
              "the engine knows, or the path of a Dockerfile, or of a folder with one, relative to "
              "this file."),
    _list("tools", Tool, Combination.COMMON, "What the model may call."),
    _list("server_tools", ServerTool, Combination.COMMON,
          "What the model's own service may run for it. Text leaves this way: what the model read "
          "in the workspace can stand in a search or an address."),
    ListKey(path="commands", field="commands", type=Command, removed=ProgramName,
            about="Programs that may run. What is not listed does not run."),
    _flag("exec_workspace", "May scripts and binaries that live in the workspace run?"),
    _list("paths.write", Place, Combination.OWN,
          "Directories or files that may be written: relative to the workspace, or absolute. "
          "`/tmp` and home always may."),
    _list("paths.read", Place, Combination.OWN,
          "Of the workspace, what may be read beside what may be written; absent: all."),
    _list("paths.protect", Pattern, Combination.PATTERNS,
          "Patterns (gitignore form) that the export gate guards."),
    _list("workspace.exclude", Pattern, Combination.PATTERNS,
          "Patterns (gitignore form) never copied into the container."),
    _list("workspace.secrets", Pattern, Combination.PATTERNS,
          "Patterns (gitignore form) of files that are copied only where git tracks them or they "
          "hold certificates alone, and nothing in them looks like a live secret."),
    BoundKey(path="workspace.history", field="workspace.history", type=HistoryName,
             spelled=lambda value: str(value.value), rank=_HISTORIES.index, is_text=True,
             about="How much of .git goes into the container."),
    _size("workspace.max_bytes", about="Largest workspace that is copied."),
    _flag("workspace.borrow", "May objects come along that the repository borrows from another one "
          "of yours (git clone --shared, --reference)? Only what its own references reach."),
    _list("setup.inputs", Pattern, Combination.COMMON_PATTERNS,
          "Patterns (gitignore form) of the workspace's files that set-up sees: manifests and lock "
          "files. A change of one makes set-up run again."),
    _list("setup.commands", CommandLine, Combination.COMMON,
          "Shell lines that install what the task needs, before the workspace is copied. Their "
          "result is a layer of the image, kept for all runs with the same set-up."),
    _list("setup.network", NetworkName, Combination.COMMON,
          "Hosts that set-up may reach by TLS (`*.` before one: all below it), and the words pip, "
          "npm, apt, cargo, go and maven: where the operator's own clients get packages from."),
    _list("setup.secrets", SecretName, Combination.COMMON,
          "Variables of the operator's environment that set-up's commands find in theirs, for "
          "private registries. A layer that holds the value of one is refused."),
    _list("setup.prepare", CommandLine, Combination.COMMON,
          "Shell lines that build in the workspace, without network. What they change is part of "
          "the baseline, not of the patch."),
    _flag("setup.as_root",
          "Set-up's commands run as root, for apt and its like. The agent never does."),
    BoundKey(path="setup.cooldown", field="setup.cooldown_s", type=Waiting,
             spelled=spelled_duration, rank=lambda value: -value, is_text=True,
             about="Set-up takes no release younger than this, where its client can: `7d`."),
    ListKey(path="services", field="services", type=ServiceEntry, removed=PlainName,
            combination=Combination.COMMON,
            about="Databases and caches that tests need, each with programs of its own, reachable "
            "on loopback and started before the first command. What they write is in no patch."),
    PolicyKey(path="env", field="env", type=dict[EnvName, EnvValue],
              about="Environment variables of every command."),
    _number("limits.cpus", Annotated[float, Field(gt=0, le=1024)], "Processors, or a part of one."),
    _size("limits.memory", 16 * 2**20, "Memory of the container, such as 4GiB."),
    _number("limits.pids", Annotated[int, Field(ge=8, le=4_194_304)], "Processes and threads."),
    _size("limits.disk", 2**20, "What may be written in the container, such as 4GiB."),
    _duration("limits.command_timeout", "Time of one command, unless the model asks for less."),
    _size("limits.output", 1024, "Of one stream of one command, as shown to the model."),
    _duration("limits.time", "Time of a whole run, and as much again of its check."),
    _number("budget.turns", _COUNT, "Answers of the model."),
    _number("budget.input_tokens", _COUNT, "Tokens that the model reads, cached ones too."),
    _number("budget.output_tokens", _COUNT, "Tokens that the model writes."),
    _number("budget.usd", Annotated[float, Field(gt=0)] | None,
            "Dollars; null: no bound in dollars."),
    _size("export.max_bytes", about="Largest patch that is exported, such as 10MiB."),
    _list("export.refuse", Finding, Combination.EITHER,
          "Findings that refuse the export (exit code 5)."),
    _list("export.ignore", Pattern, Combination.COMMON_PATTERNS,
          "Patterns (gitignore form) of new files left out of the patch, and listed."),
    _list("export.include", Pattern, Combination.COMMON_PATTERNS,
          "Patterns (gitignore form) of files that go into the patch though the repository's own "
          "ignore rules, or `export.ignore`, leave them out."),
    PolicyKey(path="review.model", field="review.model", type=ReviewerName | None,
              about="A model that gives a second opinion on the patch, in the form that -m has; "
              "null: nobody does. What it reads of the workspace goes to its service."),
    BoundKey(path="review.require", field="review.require", type=Literal["approve"] | None,
             spelled=_requirement_text, rank=lambda _value: 0.0,
             about="`approve`: any other opinion, and none, refuses the export (exit code 5)."),
)  # fmt: skip

_SECTIONS: Mapping[str, Any] = {
    "paths": PathRules,
    "workspace": WorkspaceRules,
    "setup": SetupRules,
    "limits": ContainerLimits,
    "budget": BudgetLimits,
    "export": ExportRules,
    "review": ReviewRules,
}


def values_of(policy: Policy) -> dict[str, Any]:
    """Every value of a policy, by the path of its key."""
    return {key.path: key.of(policy) for key in KEYS}


def fields_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `Policy` that has these values, each by the path of its key.

    A key that is missing is None, which says: no bound.
    """
    fields: dict[str, Any] = {}
    sections: dict[str, dict[str, Any]] = {name: {} for name in _SECTIONS}
    for key in KEYS:
        section, _, name = key.field.rpartition(".")
        (sections[section] if section else fields)[name] = values.get(key.path)
    return fields | {name: _SECTIONS[name](**found) for name, found in sections.items()}
