"""The policy as a value: what may be done, decoded and composed, with no YAML left in it.

Owns the shape. Refuses to know how it was written (`loading`), what it decides (`decision`),
and what the kernel makes of it (`kernel`).
"""

from collections.abc import Mapping
from dataclasses import field, replace
from enum import Flag, StrEnum, auto
from typing import Literal, get_args

from policies.errors import Where
from policies.frozen import dataclass

Tool = Literal[
    "bash", "read_file", "write_file", "edit_file", "delete_file", "list_dir", "search_files",
    "update_plan",
]  # fmt: skip
TOOLS: tuple[str, ...] = get_args(Tool)
"""Tools that run in the container."""
WRITING_TOOLS = frozenset({"write_file", "edit_file", "delete_file"})
ServerTool = Literal["web_search", "web_fetch", "code_execution"]
SERVER_TOOLS: tuple[str, ...] = get_args(ServerTool)
"""Tools that the model's own service runs, on its machines: no container holds them."""


class History(StrEnum):
    """How much of the workspace's ``.git`` goes into the container."""

    FULL = "full"
    HEAD = "head"
    NONE = "none"


class Forbids(Flag):
    """Which commands a rule's ``forbid`` was said of."""

    WITH_ARGS = auto()
    """Those with its `args`: what may begin so is denied."""
    ALWAYS = auto()
    """All of the program's, before a ceiling gave it `args`: of git's subcommands among them, one
    that may be an alias is denied still, and of what may begin otherwise nothing is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRule:
    """One program that may run, with conditions on its arguments."""

    program: str
    """A name looked up on the container's PATH, or an absolute path."""
    args: tuple[tuple[str, ...], ...] | None
    """Permitted leading arguments, any of them; None permits all. A check, not enforcement."""
    ask: bool
    """True: a person must agree to each command; without a terminal it is denied."""
    where: Where
    key: str = ""
    """As written in its file: ``commands[2]``, ``+commands[0]``."""
    forbid: tuple[str, ...] = ()
    """Flags that may not be among the arguments, whatever other rules allow. A check (`flags`)."""
    require: tuple[str, ...] = ()
    """Flags that must all be among the arguments for the rule to fit. A check (`flags`)."""
    forbids: Forbids = Forbids.WITH_ARGS
    """Where a ceiling narrowed the rule: what each side's `forbid` was said of."""

    @property
    def looks_at_arguments(self) -> bool:
        return self.args is not None or bool(self.forbid) or bool(self.require)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRules:
    write: tuple[str, ...]
    """Directories or files that may be written: relative to the workspace, or absolute."""
    read: tuple[str, ...] | None
    """Likewise for reading beside the image's own libraries; None: all but unlisted programs."""
    protect: tuple[str, ...]
    """Globs (gitignore form) that the export gate guards."""
    alias: str = ""
    """Another name of the workspace in the container, by which paths may go as well: the folder of
    the image that it was. Never in a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceRules:
    exclude: tuple[str, ...]
    """Patterns (gitignore form) never copied into the container."""
    secrets: tuple[str, ...]
    """Patterns (gitignore form) of files that are copied only where git tracks them, or they hold
    certificates alone, and in neither case with what looks like a live secret."""
    history: History
    max_bytes: int
    borrow: bool = True
    """Whether objects come along that the repository borrows from another one of the same user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupRules:
    """What is done before the agent begins: its result is a layer of the image, or the baseline."""

    inputs: tuple[str, ...]
    """Patterns (gitignore form) of the workspace's files that the commands find in it."""
    commands: tuple[str, ...]
    """Shell lines, run in turn with a network of `network` alone."""
    network: tuple[str, ...]
    """Host names, ``*.`` before one for all below it, and the words of `NETWORK_WORDS`."""
    secrets: tuple[str, ...]
    """Names of the operator's variables that the commands find in their environment."""
    prepare: tuple[str, ...]
    """Shell lines, run in turn with the whole workspace there and no network."""
    as_root: bool
    """The commands run as root, for the system's package manager."""
    cooldown_s: float
    """Releases younger than this are not taken, where a client can be told; 0: any."""

    @property
    def makes_layer(self) -> bool:
        """There is something to do before the workspace is copied."""
        return bool(self.commands)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRule:
    """A program that the commands' tests need beside them: a database, a cache."""

    name: str
    command: str
    """The shell line that it is started with, in a directory of its own."""
    ready: str
    """The shell line that succeeds once it can be used."""
    programs: tuple[str, ...]
    """What may run in its domain beside what the two lines name."""
    timeout_s: float
    """How long it may take until it is ready."""

    def __str__(self) -> str:
        beside = f" with {', '.join(self.programs)}" if self.programs else ""
        return f"{self.name}, which runs {self.command!r}, then {self.ready!r}{beside}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerLimits:
    cpus: float
    memory_bytes: int
    pids: int
    disk_bytes: int
    command_timeout_s: float
    output_bytes: int
    """Of one stream of one command, as shown to the model; the rest is in a spill file."""
    time_s: float
    """Of a whole run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLimits:
    turns: int
    input_tokens: int
    output_tokens: int
    usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRules:
    max_bytes: int
    refuse: tuple[str, ...]
    """Names of findings that refuse the export (exit code 5)."""
    ignore: tuple[str, ...]
    """Patterns (gitignore form) of new files that are left out beside the baseline's own rules:
    caches that a test run leaves. What was left out is listed."""
    include: tuple[str, ...]
    """Patterns (gitignore form) of files that go into the patch whatever rule ignores them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRules:
    """A second opinion on the patch, by a model that did not make it."""

    model: str | None = None
    """Who is asked, in the form that ``-m`` has; None: nobody is."""
    require: Literal["approve"] | None = None
    """What the opinion must be for the patch to be exported; None: it is only shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    allow: tuple[str, ...]
    deny: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NarrowedKey:
    """One key of a policy that a ceiling made narrower."""

    key: str
    change: str
    """For a person: ``4GiB becomes 2GiB``, ``without curl, rm``."""
    by: Where


@dataclass(frozen=True, slots=True, kw_only=True)
class CeilingBounds:
    """What ceilings did to a policy whose values are already the narrower ones."""

    before: "Policy"
    """The policy as it was without them."""
    ceilings: tuple["Policy", ...]
    """Each with what it says, and what the policy says where it says nothing: both must allow."""
    narrowings: tuple[NarrowedKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    name: str
    where: Where
    image: str
    tools: tuple[str, ...]
    server_tools: tuple[str, ...] = ()
    """What the model's service runs for it, outside the container: text leaves this way."""
    commands: tuple[CommandRule, ...]
    exec_workspace: bool
    paths: PathRules
    workspace: WorkspaceRules
    setup: SetupRules
    services: tuple[ServiceRule, ...] = ()
    """Started in this order before the first command, each when the one before it is ready."""
    env: Mapping[str, str]
    limits: ContainerLimits
    budget: BudgetLimits
    export: ExportRules
    review: ReviewRules = field(default_factory=ReviewRules)
    examples: Examples
    places: Mapping[str, Where] = field(default_factory=dict)
    """Where each key's value was written, by key path (``paths.write``); for rules and reports."""
    bounds: CeilingBounds | None = None
    """None: nothing stands over it."""

    def with_long_commands(self) -> "Policy":
        """The same, where a command may last for as long as a run may: it is not the agent's."""
        limits = replace(self.limits, command_timeout_s=self.limits.time_s)
        return replace(self, limits=limits)

    @property
    def narrowed(self) -> str | None:
        """What its ceilings narrow, on one line; None: nothing stands over it."""
        if self.bounds is None:
            return None
        files = ", ".join(dict.fromkeys(ceiling.where.file for ceiling in self.bounds.ceilings))
        changes = "; ".join(f"{one.key} {one.change}" for one in self.bounds.narrowings)
        return f"the ceiling {files} narrows policy {self.name}: {changes or 'nothing'}"
