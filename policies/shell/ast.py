"""What a parse of shell text gives: its parts as values, in the order they are written."""

from dataclasses import field

from policies.frozen import dataclass
from policies.shell.words import Word


@dataclass(frozen=True, slots=True)
class SimpleCommand:
    words: tuple[Word, ...]
    assigned: tuple[tuple[str, Word | None], ...]
    """Variables assigned before the program's name, or by ``export`` and its kind."""
    offset: int
    depth: int
    declares: bool = False
    """It is ``export`` or one of its kind, and is carried out wherever what follows it is."""


@dataclass(frozen=True, slots=True)
class Redirect:
    operator: str
    target: Word
    offset: int
    depth: int


@dataclass(frozen=True, slots=True)
class Construct:
    """A construct that holds the deeper ones that follow; for showing the parse."""

    label: str
    offset: int
    depth: int


@dataclass(frozen=True, slots=True)
class NestedText:
    """Text that is shell again, found where the grammar did not look."""

    text: str
    offset: int
    depth: int


@dataclass(frozen=True, slots=True)
class FunctionDefinition:
    name: str
    start: int
    end: int
    scope_end: int
    """Where the shell that defines it ends."""
    certain: bool
    """It is defined whenever what follows it runs."""


Item = SimpleCommand | Redirect | Construct | NestedText


@dataclass(slots=True)
class ParsedText:
    items: list[Item] = field(default_factory=list)
    functions: list[FunctionDefinition] = field(default_factory=list)
    problem: str | None = None
    """Why the text can't be read with certainty."""
    notes: set[str] = field(default_factory=set)
    weight: int = 0
    """Nodes of the tree: what the text cost to read, and will cost to judge."""
