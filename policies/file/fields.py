"""Values in a file that a person wrote: how one is decoded, and what is wrong with one in words.

Strict, with no key unknown. Owns the types that pydantic decodes (texts, sizes, durations, an entry
of `commands`) and the sentence for each complaint of its. Refuses to know the keys of any file
(`keys`).
"""

from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError

from policies.errors import PolicyError
from policies.file import scalars
from policies.file.document import Data, Document, KeyPath, spelled
from policies.policy import History


class StrictModel(BaseModel):
    """What every model of such a file builds on.

    Nothing is converted (``"3"`` is no number), nothing is left over, nothing changes afterwards.
    A model is made ready when it is first used, not when its module is imported.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, hide_input_in_errors=True,
        defer_build=True,
    )  # fmt: skip


_Form = TypeVar("_Form", bound=StrictModel)

_KIND = {
    "string_type": "text",
    "string_sub_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def check_version(document: Document, *, called: str = "policy") -> None:
    """Before all else: a file of another version would get a list of misleading complaints.

    Raises:
        PolicyError: it has none, or another than 1.
    """
    version = document.data.get("version")
    message = f"this Moonpool reads version 1, not {shown_value(version)}"
    if "version" not in document.data:
        message = f"is missing: a {called} starts with `version: 1`"
    if version != 1 or isinstance(version, bool):
        raise document.error(("version",), message)


def told(
    detail: Mapping[str, Any], data: Mapping[str, Any], unknown: Callable[[KeyPath], str]
) -> tuple[KeyPath, str]:
    """The place of one of pydantic's complaints, and what is wrong there.

    Args:
        data: what was looked at.
        unknown: what to say of a key that is none.
    """
    # What is wrong with the key of a mapping stands at the key.
    path: KeyPath = tuple(part for part in detail["loc"] if part != "[key]")
    match detail["type"]:
        case "missing":
            return path, "is missing"
        case "extra_forbidden":
            return path, unknown(path)
        case kind:
            return path, sentence(kind, detail, value_at(data, path))


def decoded_strictly(form: type[_Form], document: Document, *, unknown: str) -> _Form:
    """A file in the form that its kind has; ``unknown``: what to say of a key that is none.

    Raises:
        PolicyError: about what is deepest in the file, the nearest to the cause.
    """

    def place(detail: ErrorDetails) -> KeyPath:
        """pydantic names the branches of a union in its places; the file has none."""
        path: KeyPath = ()
        for part in detail["loc"]:
            path = (*path, part) if (*path, part) in document.values else path
        return path

    try:
        return form.model_validate(document.data)
    except ValidationError as invalid:
        worst = max(invalid.errors(include_url=False), key=lambda detail: len(place(detail)))
    path, where = place(worst), document.where(place(worst))
    match worst["type"]:
        case "missing":
            message = f"{worst['loc'][-1]} is missing"
        case "extra_forbidden":
            message, where = unknown, document.keys.get(path, where)
        case "too_short" | "string_too_short":
            message = "is empty"
        case kind:
            message = sentence(kind, worst, value_at(document.data, path))
    raise PolicyError(message, where=where, key=spelled(path))


def sentence(kind: str, detail: Mapping[str, Any], value: Data) -> str:
    """One of pydantic's complaints (its type, and all of it) about this value."""
    context: Mapping[str, Any] = detail.get("ctx", {})
    match kind:
        case "literal_error":
            allowed = str(context.get("expected", ""))
            return f"{shown_value(value)} is not one of {allowed}{_nearest_literal(value, allowed)}"
        case "value_error":
            return f"{shown_value(value)} {_worded(str(context.get('error', '')))}"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            limit = next(iter(context.values()), "")
            words = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
            word = words[next(iter(context))]
            return f"{shown_value(value)} is out of range: {word} {limit} is expected"
        case "too_short" | "string_too_short":
            return "is empty: leave the key out if everything is meant, or the entry if nothing is"
        case _ if kind in _KIND:
            quoted = (
                "; write it in quotes"
                if _KIND[kind] == "text" and isinstance(value, bool | int | float)
                else ""
            )
            listed = ""
            if _KIND[kind] == "a list":
                listed = f"; write [{value}]" if _is_word(value) else ""
                listed = "; an empty one is `[]`" if value is None else listed
            return f"expected {_KIND[kind]}, got {shown_value(value)}{quoted}{listed}"
        case _:
            message = str(detail["msg"])
            return (
                f"{message}, got {shown_value(value)}"
                if message.startswith("expected")
                else message
            )


def _is_word(value: Data) -> bool:
    return isinstance(value, str) and value.replace("-", "").replace("_", "").isalnum()


def _worded(message: str) -> str:
    return (
        f"can't be used: {message}"
        if message.startswith(("expected", "no ", "`", "a "))
        else message
    )


def unknown_key(key: str, known: Collection[str]) -> str:
    """What to say of a key that is none."""
    from policies.suggestion import did_you_mean  # noqa: PLC0415 - for a mistake only

    near = did_you_mean(key, known)
    return f"unknown key{near or '; known here: ' + ', '.join(sorted(known))}"


def _nearest_literal(value: Data, allowed: str) -> str:
    from policies.suggestion import nearest  # noqa: PLC0415 - for a mistake only

    near = nearest(str(value), allowed.replace("'", "").split())
    word = near[0].rstrip(",") if near else ""
    return f"; did you mean {word}?" if word else ""


def value_at(data: Mapping[str, Data], path: KeyPath) -> Data:
    """The value at a place, or the nearest around it that is there."""
    here: Data = dict(data)
    for part in path:
        match here, part:
            case dict(), str() if part in here:
                here = here[part]
            case tuple(), int() if part < len(here):
                here = here[part]
            case _:
                break
    return here


def shown_value(value: Data) -> str:
    """A value inside a sentence: bounded, and a collection by its kind only."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping"
        case tuple() | list():
            return "a list"
        case str():
            return repr(value if len(value) <= 60 else value[:57] + "...")
        case _:
            return str(value)


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


Command = Annotated[CommandEntry, BeforeValidator(_entry), _NameOrEntry()]
