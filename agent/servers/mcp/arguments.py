"""Arguments that several tools have, and what each tool says of its effects.

Everything but `apply` happens to a copy in a container without network: nothing there destroys what
a person has, and none of it reaches the world.

A text that may be left out is ``str`` with an empty default, never ``str | None``: the SDK reads
the latter as JSON first, so that ``[1]`` is no text to it and ``null`` is nothing.
"""

from typing import Annotated

from mcp.types import ToolAnnotations
from pydantic import Field

Handle = Annotated[
    str, Field(min_length=1, max_length=100, description="The handle that `open` gave.")
]
ShellText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1_000_000,
        description="Text for bash: one command, a pipeline, or a script of several lines.",
    ),
]
ProcessNumber = Annotated[
    int, Field(ge=0, le=2**31, description="The number that `background_start` gave.")
]


def effects(
    title: str, *, reads_only: bool = False, destroys: bool = False, again: bool = False
) -> ToolAnnotations:
    """Args:
    destroys: it may replace what is not a copy.
    again: a second call of the same arguments changes nothing more.
    """
    return ToolAnnotations(
        title=title,
        read_only_hint=reads_only,
        destructive_hint=destroys,
        idempotent_hint=reads_only or again,
        open_world_hint=False,
    )
