"""What a tool is: a name, a description, strict arguments, and what it does with a sandbox.

One pydantic model per tool makes both the JSON schema that the model is given and the check of
what it sends back. Refuses to know which tools there are (`agent.tools.registry`) and whether a
call may run (the policy).
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Generic, TypeVar

from pydantic import Field, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from agent.models.interface import Image
from agent.tools.sandbox_protocol import OnOutput, SandboxProtocol
from policies.errors import first_lines
from policies.file.fields import StrictModel
from policies.frozen import dataclass
from policies.policy import ContainerLimits
from sandbox.results import Ending, LimitMet

_COMPLAINTS_SHOWN = 8


class Arguments(StrictModel):
    """Arguments of a tool."""


Path = Annotated[
    str,
    Field(
        min_length=1,
        max_length=4096,
        pattern=r"^[^\x00]*$",
        description="Relative to the workspace, or absolute in the container.",
    ),
]

_A = TypeVar("_A", bound=Arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """What a tool may use beside the sandbox."""

    left_s: float
    """What is left of the run's own time."""
    limits: ContainerLimits
    """The policy's."""
    instead: Callable[[str], str]
    """What the policy has in the place of a program that the kernel refused."""
    shown_images: tuple[int, ...] = ()
    """Bytes of each image that the model was shown in this conversation."""
    on_output: OnOutput
    """Gets the pieces of a command's output as they come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswer:
    """What a call came to."""

    text: str
    """For the model."""
    brief: str
    """One line for a person; hostile text in it is not yet made visible."""
    is_error: bool = False
    exit_code: int | None = None
    """The command's; None where no command ran."""
    ending: Ending | None = None
    refused: tuple[str, ...] = ()
    """Programs that the kernel refused."""
    images: tuple[Image, ...] = ()
    """Shown to the model after the text."""
    limits: tuple[LimitMet, ...] = ()
    """Limits that were met though no command ended by one."""

    @property
    def failed(self) -> bool:
        """Nothing came of it: an error, or a command that ended with one."""
        return self.is_error or self.exit_code not in {None, 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool(Generic[_A]):
    name: str
    description: str
    arguments: type[_A]
    act: Callable[[_A, SandboxProtocol, ToolContext], ToolAnswer]
    """Raises FileError for what goes back to the model as an error, SandboxError to end the run."""

    def schema(self) -> dict[str, object]:
        return _without_titles(self.arguments.model_json_schema(schema_generator=_Schema))

    def decode(self, arguments: Mapping[str, object]) -> _A:
        """Check what the model sent.

        Raises:
            MalformedError: it does not fit; the message is for the model.
        """
        try:
            return self.arguments.model_validate(arguments)
        except ValidationError as error:
            raise MalformedError(_complaint(self.name, error)) from error

    def call(
        self, arguments: Mapping[str, object], sandbox: SandboxProtocol, context: ToolContext
    ) -> ToolAnswer:
        return self.act(self.decode(arguments), sandbox, context)


class _Schema(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        return dft  # JSON already: to find that out, pydantic makes an adapter for each


class MalformedError(Exception):
    """A call whose arguments don't fit the tool's schema."""


def _complaint(name: str, error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    lines = (
        f"{'.'.join(str(part) for part in problem['loc']) or '(all)'}: {problem['msg']}"
        for problem in problems
    )
    told = "".join(f"\n- {line}" for line in first_lines(lines, _COMPLAINTS_SHOWN))
    return f"The arguments of {name} don't fit its schema, so nothing ran:{told}"


def _without_titles(schema: dict[str, Any]) -> dict[str, object]:
    """pydantic names every field a second time as its title: tokens without a meaning."""
    return {key: _stripped(value) for key, value in schema.items() if key != "title"}


def _stripped(value: Any) -> Any:
    match value:
        case dict():
            return {
                key: _stripped(item)
                for key, item in value.items()
                # A property may itself be called "title": then it holds a schema, not a string.
                if not (key == "title" and isinstance(item, str))
            }
        case list():
            return [_stripped(item) for item in value]
        case _:
            return value
