"""Version 1 of the policy file, as pydantic models: one file, not yet composed with others.

Every key may be absent: what a file leaves unsaid comes from the policy it extends, at last from
`unsaid.yaml`. Lists are `Edit`s: replaced by ``key``, added to by ``+key``, taken from by ``-key``.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from policies.file import names, quantities
from policies.policy import History, ServerTool

T = TypeVar("T")
R = TypeVar("R")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Edit(_Strict, Generic[T, R]):
    """What one file says of a list."""

    set: tuple[T, ...] | None = None
    add: tuple[T, ...] = ()
    remove: tuple[R, ...] = ()


def _size(value: object) -> int:
    if not isinstance(value, str):
        raise PydanticCustomError("size", "expected a size with its unit, such as 4GiB")
    return quantities.size_bytes(value)


def _duration(value: object) -> float:
    if not isinstance(value, str):
        raise PydanticCustomError("duration", "expected a duration with its unit, such as 2m")
    return quantities.duration_s(value)


def _command(value: object) -> object:
    return {"program": value} if isinstance(value, str) else value


def _history(value: object) -> object:
    # Strict mode takes members only, and YAML has none.
    if isinstance(value, str) and value in set(History):
        return History(value)
    expected = " or ".join(repr(member.value) for member in History)
    raise PydanticCustomError("literal_error", "not a history", {"expected": expected})


Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema({"type": "string", "pattern": quantities.SIZE_PATTERN}),
]
Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": quantities.DURATION_PATTERN}),
]
PlainName = Annotated[
    str,
    AfterValidator(names.plain_name),
    WithJsonSchema({"type": "string", "pattern": names.PLAIN_NAME}),
]
ProgramName = Annotated[str, AfterValidator(names.program)]
Place = Annotated[str, AfterValidator(names.place)]
Pattern = Annotated[str, AfterValidator(names.pattern)]
Host = Annotated[str, AfterValidator(names.host)]
Argument = Annotated[str, AfterValidator(names.argument)]
Flag = Annotated[str, AfterValidator(names.flag)]
CommandLine = Annotated[str, AfterValidator(names.command_line)]
EnvName = Annotated[str, AfterValidator(names.env_name)]
EnvValue = Annotated[str, AfterValidator(names.env_value)]
Tool = Literal[
    "bash",
    "read_file",
    "write_file",
    "edit_file",
    "delete_file",
    "list_dir",
    "search_files",
    "update_plan",
]
Finding = Literal[
    "protected-path",
    "escaping-symlink",
    "max-bytes",
    "inspection-failed",
    "not-inspected",
    "setuid",
    "new-executable",
    "symlink",
    "submodule",
    "ci-workflow",
    "git-hook",
    "editor-task",
    "agent-instructions",
    "install-script",
    "lockfile",
    "dependency-added",
    "bidi-control",
    "invisible-text",
    "lookalike-text",
    "odd-name",
    "case-collision",
    "secret",
    "binary",
    "test-removed",
    "long-line",
    "too-large",
]
TOOLS: tuple[str, ...] = get_args(Tool)
FINDINGS: tuple[str, ...] = get_args(Finding)
"""What the export gate can find; a policy says which of them refuse the export."""
LimitName = Literal["cpus", "memory", "pids", "disk", "command_timeout", "output", "time"]
BudgetName = Literal["turns", "input_tokens", "output_tokens", "usd"]


class CommandEntry(_Strict):
    """One program that may run."""

    program: ProgramName = Field(
        description="A name looked up on the container's PATH, or an absolute path."
    )
    args: tuple[Annotated[tuple[Argument, ...], Field(min_length=1)], ...] | None = Field(
        default=None,
        description="Permitted leading arguments, any of these lists; absent: all. They come "
        "first, but for options known to change nothing of what the subcommand does (`git -C`, "
        "`pip --quiet`). A check, not enforcement: programs and paths are what the kernel holds.",
    )
    forbid: tuple[Flag, ...] = Field(
        default=(),
        description="Flags that may not be given (`--force`, `-f`, `-exec`, `+x`), whatever other "
        "rules for the program allow. Abbreviations (`--forc`), clusters (`-xf`), values (`--x=y`) "
        "and spellings known to be the same count; `--no-force` and `--force-with-lease` are other "
        "flags; what stands after `--`, or is the value of an option known to take one, does not "
        "count. A word that only the run can know and that may be a flag is denied before `--`. A "
        "check, not enforcement.",
    )
    require: tuple[Flag, ...] = Field(
        default=(),
        description="Flags that must all be given, in full, for this rule to fit; otherwise it "
        "says nothing, and another rule for the program may allow. A check, not enforcement.",
    )
    ask: bool = Field(
        default=False,
        description="A person must agree to each command; without a terminal it is denied.",
    )

    @model_validator(mode="after")
    def _flags_apart(self) -> "CommandEntry":
        both = [flag for flag in self.require if flag in self.forbid]
        if both:
            raise ValueError(f"no flag can be required and forbidden, as {', '.join(both)} is")
        return self


class _TextOrEntry:
    """Tells the JSON Schema that a program's name alone will do."""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        name = {"type": "string", "description": "A program, with any arguments."}
        return {"anyOf": [name, handler(core)]}


Command = Annotated[CommandEntry, BeforeValidator(_command), _TextOrEntry()]


class PathsEntry(_Strict):
    write: Edit[Place, Place] | None = Field(
        default=None,
        description="Directories or files that may be written: relative to the workspace, or "
        "absolute. `/tmp` and home always may.",
    )
    read: Edit[Place, Place] | None = Field(
        default=None,
        description="Of the workspace, what may be read beside what may be written; absent: all.",
    )
    protect: Edit[Pattern, Pattern] | None = Field(
        default=None, description="Patterns (gitignore form) that the export gate guards."
    )


class WorkspaceEntry(_Strict):
    exclude: Edit[Pattern, Pattern] | None = Field(
        default=None,
        description="Patterns (gitignore form) never copied into the container.",
    )
    history: Annotated[History, BeforeValidator(_history)] | None = Field(
        default=None, description="How much of .git goes into the container."
    )
    max_bytes: Size | None = Field(default=None, description="Largest workspace that is copied.")


class SetupEntry(_Strict):
    commands: Edit[CommandLine, CommandLine] | None = Field(
        default=None, description="Commands of the set-up phase."
    )
    network: Edit[Host, Host] | None = Field(
        default=None, description="Hosts that the set-up phase may reach."
    )


class LimitsEntry(_Strict):
    cpus: Annotated[float, Field(gt=0, le=1024)] | None = None
    memory: Annotated[Size, Field(ge=16 * 2**20)] | None = None
    pids: Annotated[int, Field(ge=8, le=4_194_304)] | None = None
    disk: Annotated[Size, Field(ge=2**20)] | None = None
    command_timeout: Annotated[Duration, Field(gt=0)] | None = Field(
        default=None, description="Time of one command, unless the model asks for less."
    )
    output: Annotated[Size, Field(ge=1024)] | None = Field(
        default=None, description="Of one stream of one command, as shown to the model."
    )
    time: Annotated[Duration, Field(gt=0)] | None = Field(
        default=None, description="Time of a whole run."
    )
    widen: tuple[LimitName, ...] = Field(
        default=(),
        description="Limits of this file that may be larger than those of the policy it extends.",
    )


class BudgetEntry(_Strict):
    turns: Annotated[int, Field(ge=1)] | None = None
    input_tokens: Annotated[int, Field(ge=1)] | None = None
    output_tokens: Annotated[int, Field(ge=1)] | None = None
    usd: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Dollars; null: no bound in dollars."
    )
    widen: tuple[BudgetName, ...] = Field(
        default=(),
        description="Bounds of this file that may be larger than those of the policy it extends.",
    )


class ExportEntry(_Strict):
    max_bytes: Size | None = None
    refuse: Edit[Finding, Finding] | None = Field(
        default=None, description="Findings that refuse the export (exit code 5)."
    )
    ignore: Edit[Pattern, Pattern] | None = Field(
        default=None,
        description="Patterns (gitignore form) of new files left out of the patch, and listed.",
    )


class ExamplesEntry(_Strict):
    """Not inherited: they are the tests of the file they stand in."""

    allow: tuple[CommandLine, ...] = ()
    deny: tuple[CommandLine, ...] = ()


class PolicyFile(_Strict):
    """A Moonpool policy. No match means deny; an empty list means nothing, never everything."""

    version: Literal[1]
    name: PlainName
    extends: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="A bundled policy's name, or another file relative to this one.",
    )
    image: PlainName | None = Field(default=None, description="The recipe of the container.")
    tools: Edit[Tool, Tool] | None = Field(default=None, description="What the model may call.")
    server_tools: Edit[ServerTool, ServerTool] | None = Field(
        default=None,
        description="What the model's own service may run for it. Text leaves this way: what the "
        "model read in the workspace can stand in a search or an address.",
    )
    commands: Edit[Command, ProgramName] | None = Field(
        default=None, description="Programs that may run. What is not listed does not run."
    )
    exec_workspace: bool | None = Field(
        default=None, description="May scripts and binaries that live in the workspace run?"
    )
    paths: PathsEntry = PathsEntry()
    workspace: WorkspaceEntry = WorkspaceEntry()
    setup: SetupEntry = SetupEntry()
    env: dict[EnvName, EnvValue] = Field(
        default_factory=dict, description="Environment variables of every command."
    )
    limits: LimitsEntry = LimitsEntry()
    budget: BudgetEntry = BudgetEntry()
    export: ExportEntry = ExportEntry()
    examples: ExamplesEntry = ExamplesEntry()


SECTIONS: dict[str, type[BaseModel]] = {
    "paths": PathsEntry,
    "workspace": WorkspaceEntry,
    "setup": SetupEntry,
    "limits": LimitsEntry,
    "budget": BudgetEntry,
    "export": ExportEntry,
    "examples": ExamplesEntry,
}


def list_keys(model: type[BaseModel]) -> frozenset[str]:
    """The keys of a model that take ``+`` and ``-``."""
    return frozenset(
        name for name, field in model.model_fields.items() if "Edit[" in str(field.annotation)
    )


def json_schema() -> dict[str, object]:
    """JSON Schema (draft 2020-12) of a policy file as it is written, ``+`` and ``-`` keys too."""
    generated: dict[str, Any] = PolicyFile.model_json_schema(mode="validation")
    definitions: dict[str, Any] = generated.pop("$defs")
    edits = {name: value for name, value in definitions.items() if name.startswith("Edit_")}
    for name in edits:
        del definitions[name]
    for holder in (generated, *definitions.values()):
        _flatten(holder, edits)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Moonpool policy, version 1",
        **{key: value for key, value in generated.items() if key != "title"},
        "$defs": definitions,
    }


def _flatten(holder: dict[str, Any], edits: dict[str, Any]) -> None:
    """Write each Edit as the three keys it is in a file; drop the nulls that mean absent."""
    properties: dict[str, Any] = holder.get("properties", {})
    for key, value in list(properties.items()):
        options = [option for option in value.get("anyOf", ()) if option != {"type": "null"}]
        if key == "usd" or len(options) != 1 or "null" not in str(value.get("anyOf")):
            continue
        reference = str(options[0].get("$ref", "")).rpartition("/")[2]
        about = {"description": value["description"]} if "description" in value else {}
        if reference not in edits:
            properties[key] = {**options[0], **about}
            continue
        parts = edits[reference]["properties"]
        replaced = next(o for o in parts["set"]["anyOf"] if o.get("type") == "array")
        properties[key] = {**replaced, **about}
        for sign, part, says in (("+", "add", "Added to"), ("-", "remove", "Taken from")):
            listed = {name: value for name, value in parts[part].items() if name != "default"}
            listed["description"] = f"{says} the {key} of the policy that this one extends."
            properties[sign + key] = {**listed, "title": sign + key}
