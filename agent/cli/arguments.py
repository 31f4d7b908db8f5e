"""What a command takes: options and arguments, each the key to its own value.

    MODEL = text("-m", "--model", metavar="MODEL", help="Instead of the run's own.")
    given[MODEL]  # str | None

Options may stand anywhere before ``--``; what an option takes is the next word, whatever it looks
like, so that a value may begin with a dash. Owns what a value on the command line may be, and the
grammar. Knows no command, prints nothing, and imports little: `moonpool --help` waits for nothing
else.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Word = TypeVar("Word", bound=str)


class Misuse(Exception):
    """A command line that can't be what was meant; the message is for the person."""


class HelpWanted(Exception):
    """The person asks what there is."""


class Parameter(NamedTuple, Generic[T_co]):
    """An option, or where it has no names an argument."""

    default: T_co
    names: tuple[str, ...] = ()
    metavar: str = ""
    """What stands for the value in help; empty for a flag."""
    help: str = ""
    convert: Callable[[str], object] | None = None
    """Makes a value of a word, raises ValueError with a message; None: a flag."""
    no: str = ""
    """The name that turns a flag off."""
    many: bool = False
    """It may be given again (an option), or takes all that is left (an argument)."""
    required: bool = False
    notes: str = ""
    """What help adds in brackets."""

    @property
    def shown(self) -> str:
        """What an error calls it."""
        return self.names[-1] if self.names else self.metavar

    def value(self, words: list[str]) -> object:
        """What the words given for it come to. Raises Misuse."""
        if self.convert is None:
            return words[-1] != self.no
        try:
            values = tuple(map(self.convert, words))
        except ValueError as error:
            raise Misuse(f"Invalid value for '{self.shown}': {error}") from None
        return values if self.many else values[-1]


class Given:
    """The values of one command line, by the parameter."""

    def __init__(self, values: Mapping[Parameter[Any], object]) -> None:
        self._values = values

    def __getitem__(self, parameter: Parameter[T]) -> T:
        return cast("T", self._values.get(parameter, parameter.default))


class Command(NamedTuple):
    """What one verb does."""

    do: Callable[[Given], int]
    """Gives the exit code."""
    parameters: tuple[Parameter[Any], ...]
    """In the order in which help names them."""
    details: str
    """Help behind its first sentence: paragraphs, and an example. One that begins with ``\\b`` is
    shown as it is written."""


def argument(metavar: str, help: str = "") -> Parameter[str]:  # noqa: A002
    """A word that must be there."""
    return Parameter(metavar=metavar, help=help, default="", convert=str, required=True)


def optional_argument(metavar: str, help: str = "") -> Parameter[str | None]:  # noqa: A002
    """A word that may be there."""
    return Parameter(metavar=metavar, help=help, default=None, convert=str)


def rest(metavar: str, help: str = "") -> Parameter[tuple[str, ...]]:  # noqa: A002
    """All words that are left, at least one."""
    return Parameter(metavar=metavar, help=help, default=(), convert=str, many=True, required=True)


def flag(*names: str, help: str) -> Parameter[bool]:  # noqa: A002
    """Given, or not."""
    return Parameter(names=names, help=help, default=False)


def switch(name: str, no: str, *, help: str) -> Parameter[bool | None]:  # noqa: A002
    """On by one name and off by the other; None: neither is given."""
    return Parameter(names=(name,), help=help, default=None, no=no)


def text(*names: str, metavar: str, help: str) -> Parameter[str | None]:  # noqa: A002
    """A word."""
    return Parameter(names=names, metavar=metavar, help=help, default=None, convert=str)


def converted(
    convert: Callable[[str], T],
    *names: str,
    metavar: str,
    help: str,  # noqa: A002
) -> "Parameter[T | None]":
    """A word that is made into something else."""
    return Parameter(names=names, metavar=metavar, help=help, default=None, convert=convert)


def texts(*names: str, metavar: str, help: str) -> Parameter[tuple[str, ...]]:  # noqa: A002
    """A word each time the option is given."""
    return Parameter(names=names, metavar=metavar, help=help, default=(), convert=str, many=True)


def path(*names: str, metavar: str, help: str) -> "Parameter[Path | None]":  # noqa: A002
    """The name of a file or directory."""
    from pathlib import Path

    return Parameter(names=names, metavar=metavar, help=help, default=None, convert=Path)


def path_or(default: str, *names: str, metavar: str, help: str) -> "Parameter[Path]":  # noqa: A002
    """The same, with one that counts where none is given."""
    from pathlib import Path

    return Parameter(
        names=names,
        metavar=metavar,
        help=help,
        default=Path(default),
        convert=Path,
        notes=f"default: {default}",
    )


def number(*names: str, metavar: str, help: str, default: int, least: int) -> Parameter[int]:  # noqa: A002
    """A whole number."""

    def convert(word: str) -> int:
        try:
            value = int(word)
        except ValueError:
            raise ValueError(f"{word!r} is not a whole number") from None
        if value < least:
            raise ValueError(f"{value} is less than {least}")
        return value

    notes = f"default: {default}; at least {least}"
    return Parameter(
        names=names, metavar=metavar, help=help, default=default, convert=convert, notes=notes
    )


def choice(*names: str, words: tuple[Word, ...], help: str = "") -> Parameter[Word]:  # noqa: A002
    """One of some words; the first counts where none is given. Without names: an argument."""

    def convert(word: str) -> str:
        if word not in words:
            raise ValueError(f"{word!r} is not one of {', '.join(map(repr, words))}")
        return word

    return Parameter(
        names=names,
        metavar=f"<{'|'.join(words)}>" if names else "|".join(words),
        help=help,
        default=words[0],
        convert=convert,
        required=not names,
        notes=f"default: {words[0]}" if names else "",
    )


HELP: Parameter[bool] = Parameter(
    names=("-h", "--help"), help="Show this message and exit.", default=False
)


def parse(command: Command, words: Sequence[str]) -> Given:
    """The values of a command's parameters.

    Raises:
        Misuse: an option that is none, a value that is missing or wrong, too many words.
        HelpWanted: help was asked for.
    """
    options = {
        name: it for it in (*command.parameters, HELP) for name in (*it.names, it.no) if name
    }
    found: dict[Parameter[Any], list[str]] = {}
    plain: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            plain += left
            break
        if word.startswith("-") and len(word) > 1:
            _take_option(options, word, left, found)
        else:
            plain.append(word)
    if HELP in found:
        raise HelpWanted
    _take_arguments(command, plain, found)
    return Given({parameter: parameter.value(values) for parameter, values in found.items()})


def _take_option(
    options: dict[str, Parameter[Any]],
    word: str,
    left: list[str],
    found: dict[Parameter[Any], list[str]],
) -> None:
    """One word that holds an option, or several of one letter, and what the last of them takes."""
    name, equals, value = word.partition("=")
    if not word.startswith("--"):
        name, equals, value = word[:2], word[2:], word[2:]
    option = options.get(name)
    if option is None:
        from policies.suggestion import did_you_mean

        raise Misuse(f"No such option: {name}{did_you_mean(name, options)}")
    values = found.setdefault(option, [])
    if option.convert is None:
        values.append(name)
        if not equals:
            return
        if word.startswith("--"):
            raise Misuse(f"Option '{name}' does not take a value.")
        _take_option(options, f"-{value}", left, found)
    elif equals:
        values.append(value)
    elif left:
        values.append(left.pop(0))
    else:
        raise Misuse(f"Option '{name}' requires an argument.")


def _take_arguments(
    command: Command, words: list[str], found: dict[Parameter[Any], list[str]]
) -> None:
    for parameter in command.parameters:
        if parameter.names:
            continue
        taken, words = (words, []) if parameter.many else (words[:1], words[1:])
        if taken:
            found[parameter] = taken
        elif parameter.required:
            raise Misuse(f"Missing argument '{parameter.metavar}'.")
    if words:
        raise Misuse(f"Got unexpected extra argument(s) ({' '.join(words)})")
