"""The kinds of values in a policy file: texts, sizes, durations, and one entry of `commands`.

Owns the types that pydantic decodes. Refuses to know which key holds which (`keys`).
"""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from policies.file import scalars
from policies.file.strict import StrictModel
from policies.policy import History


def _size(value: object) -> int:
    if not isinstance(value, str):
        raise PydanticCustomError("size", "expected a size with its unit, such as 4GiB")
    return scalars.size_bytes(value)


def _duration(value: object) -> float:
    if not isinstance(value, str):
        raise PydanticCustomError("duration", "expected a duration with its unit, such as 2m")
    return scalars.duration_s(value)


def _entry(value: object) -> object:
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
    WithJsonSchema({"type": "string", "pattern": scalars.SIZE_PATTERN}),
]
Duration = Annotated[
    float,
    BeforeValidator(_duration),
    Field(gt=0),
    WithJsonSchema({"type": "string", "pattern": scalars.DURATION_PATTERN}),
]
Waiting = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": scalars.DURATION_PATTERN}),
]
"""A duration that may be none at all: ``0d``."""
PlainName = Annotated[
    str,
    AfterValidator(scalars.plain_name),
    WithJsonSchema({"type": "string", "pattern": scalars.PLAIN_NAME}),
]
ImageName = Annotated[str, AfterValidator(scalars.image), WithJsonSchema({"type": "string"})]
HistoryName = Annotated[History, BeforeValidator(_history)]
ProgramName = Annotated[str, AfterValidator(scalars.program)]
Place = Annotated[str, AfterValidator(scalars.place)]
Pattern = Annotated[str, AfterValidator(scalars.pattern)]
NetworkName = Annotated[str, AfterValidator(scalars.network_name)]
SecretName = Annotated[str, AfterValidator(scalars.secret_name)]
Argument = Annotated[str, AfterValidator(scalars.argument)]
Flag = Annotated[str, AfterValidator(scalars.flag)]
CommandLine = Annotated[str, AfterValidator(scalars.command_line)]
ReviewerName = Annotated[str, AfterValidator(scalars.reviewer), WithJsonSchema({"type": "string"})]
EnvName = Annotated[str, AfterValidator(scalars.env_name)]
EnvValue = Annotated[str, AfterValidator(scalars.env_value)]
Finding = Literal[
    "protected-path", "escaping-symlink", "max-bytes", "inspection-failed", "not-inspected",
    "setuid", "new-executable", "symlink", "submodule", "ci-workflow", "git-hook", "editor-task",
    "agent-instructions", "install-script", "lockfile", "dependency-added", "bidi-control",
    "invisible-text", "lookalike-text", "odd-name", "case-collision", "secret", "binary",
    "test-removed", "long-line", "too-large", "prompt-injection", "not-approved",
]  # fmt: skip
"""What the export gate can find; a policy says which of them refuse the export."""


class CommandEntry(StrictModel):
    """One program that may run."""

    program: ProgramName = Field(
        description="A name looked up on the container's PATH, or an absolute path."
    )
    args: tuple[Annotated[tuple[Argument, ...], Field(min_length=1)], ...] = Field(
        default_factory=lambda: None,  # type: ignore[arg-type]
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


class _NameOrEntry:
    """Tells the JSON Schema that a program's name alone will do."""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        name = {"type": "string", "description": "A program, with any arguments."}
        return {"anyOf": [name, handler(core)]}


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


Command = Annotated[CommandEntry, BeforeValidator(_entry), _NameOrEntry()]
