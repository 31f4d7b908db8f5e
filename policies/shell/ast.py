"""What a parse of shell text gives: its parts as values, in the order they are written.

Owns too what stands before a command's program: assignments, and the words that bash takes as
syntax.
"""

import re
from collections.abc import Sequence
from dataclasses import field

from policies.frozen import dataclass
from policies.shell.words import Word

Assigned = tuple[tuple[str, Word | None], ...]
"""Variables by name, each with its value where one is written."""


@dataclass(frozen=True, slots=True)
class SimpleCommand:
    words: tuple[Word, ...]
    assigned: Assigned
    """Variables assigned before the program's name, or by ``export`` and its kind; the empty name
    where only the run can know it."""
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
    """Forms in it that carry out text from elsewhere."""
    weight: int = 0
    """Nodes of the tree: what the text cost to read, and will cost to judge."""


RESERVED = frozenset(
    {"if", "then", "elif", "else", "fi", "for", "while", "until", "do", "done", "case", "esac",
     "select", "function", "in"}
)  # fmt: skip
"""Words that are syntax where a command begins, and no program."""


def assigned(command: SimpleCommand) -> Sequence[tuple[str, Word | None]]:
    """What a command assigns; a name reference (``declare -n``) stands for what it names."""
    if not command.assigned:
        return ()
    flags = [word.value or "" for word in command.words[1:]]
    if not any(re.match(r"-[A-Za-z]*n", flag) for flag in flags):
        return command.assigned
    targets = [(value.value, None) for _, value in command.assigned if value and value.value]
    return (*command.assigned, *targets)


def syntax_length(words: Sequence[Word]) -> int:
    """How many leading words bash takes as syntax before it looks for a program."""
    at = 0
    while at < len(words) and not words[at].quoted:
        following = words[at + 1].value if at + 1 < len(words) else None
        match words[at].value:
            # `time -f …` is the program: the keyword has only `-p`.
            case "time" if following in {"-p", "--"}:
                at += 2
            case "time" if following is None or not following.startswith("-"):
                at += 1
            case "coproc":
                at += 2 if at + 2 < len(words) and words[at + 2].value == "{" else 1
            case "{" | "!":
                at += 1
            case "}" if at + 1 == len(words):
                at += 1
            case _:
                break
    return at
