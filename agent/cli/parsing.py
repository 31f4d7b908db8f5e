"""From the words of a command line to the values of its parameters.

Options may stand anywhere before ``--``; what an option takes is the next word, whatever it looks
like, so that a value may begin with a dash. Owns the grammar. Knows no command and prints nothing.
"""

from collections.abc import Sequence
from typing import Any

from agent.cli.arguments import Command, Given, Misuse, Parameter

HELP: Parameter[bool] = Parameter("-h", "--help", help="Show this message and exit.", default=False)


class HelpWanted(Exception):
    """The person asks what there is."""


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
