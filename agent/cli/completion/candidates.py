"""What may stand where a person types, by the words before it.

Owns which names are offered. A name with a control character is none: of a run's folder or of a
policy's file nobody knows who gave it, and what acts on a terminal is not offered to one. Reads no
file of the current directory; where one is wanted, the shell looks itself.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from agent.cli.completion.table import Known, Table
from agent.cli.verbs import VERBS, Group
from agent.config import environment
from agent.untrusted_text import one_line

_BUNDLED = Path(__file__).parents[3] / "policies" / "bundled"
_TOLD = 40
"""Of so many runs the newest say what was asked of them."""
_MOST = 1000
_LARGEST_SUMMARY = 1 << 20
_DESCRIPTION = 60
_FILES = {
    **dict.fromkeys(("DIR", "RUN|DIR"), "folders"),
    **dict.fromkeys(("FILE", "TASKS", "PATH", "POLICY", "A", "B"), "files"),
}
"""What of the current directory may stand there, by the word in help."""
_LAST = ("last", "the newest run of this workspace, or of all")


class Offer(NamedTuple):
    """Words with what a shell may say of each, and the files that may stand there too."""

    words: tuple[tuple[str, str], ...] = ()
    files: str = ""
    """``files``, ``folders``, or nothing."""


def offer(words: Sequence[str], table: Callable[[], Table]) -> Offer:
    """What fits a command line.

    Args:
        words: those behind ``moonpool``; the last is being typed, and may be empty.
        table: asked where a command is named already.
    """
    group, path = VERBS, []
    *before, typed = words or [""]
    while before:
        word = before.pop(0)
        found = group.verbs.get(word)
        if found is None:
            return Offer()
        path.append(word)
        if not isinstance(found, Group):
            return _fitting(typed, *_in_command(before, typed, path, table()))
        group = found
    verbs = [(name, found.summary) for name, found in group.verbs.items()]
    options = [("--help", "Show what there is."), *([] if path else [("--version", "")])]
    return _fitting(typed, Offer(words=tuple(options if typed.startswith("-") else verbs)), "")


def _fitting(typed: str, found: Offer, before: str) -> Offer:
    """Those that begin with what is typed; ``before`` is what each of them begins with."""
    fitting = (
        (before + word, one_line(" ".join(text.split()), _DESCRIPTION))
        for word, text in found.words
        if (before + word).startswith(typed) and word.isprintable()
    )
    return Offer(words=tuple(fitting), files=found.files)


def _in_command(before: list[str], typed: str, path: list[str], table: Table) -> tuple[Offer, str]:
    """What a command takes there, and what stands before it in the word: ``--option=``."""
    parameters = table.parameters.get(" ".join(path), ())
    options = {name: it for it in parameters for name in it.names}
    arguments = [it for it in parameters if not it.names]
    plain, used = False, set[str]()
    while before:
        word = before.pop(0)
        option = options.get(word)
        if plain or option is None:
            if word == "--" and not plain:
                plain = True
            elif (plain or not word.startswith("-")) and arguments and not arguments[0].many:
                arguments.pop(0)
            continue
        if not option.many:
            used |= set(option.names)
        if option.metavar and not before:
            return _values(option, path, typed, table), ""
        if option.metavar:
            before.pop(0)
    name, equals, value = typed.partition("=")
    if equals and name in options and name.startswith("--") and not plain:
        return _values(options[name], path, value, table), f"{name}="
    if not plain and (typed.startswith("-") or not arguments):
        left = [(name, it.help) for name, it in options.items() if name not in used]
        return Offer(words=(*left, ("--help", "Show what there is."))), ""
    return (_values(arguments[0], path, typed, table) if arguments else Offer()), ""


def _values(parameter: Known, path: list[str], typed: str, table: Table) -> Offer:
    """What one parameter takes, by the word that stands for it in help."""
    noun = parameter.metavar
    if (noun == "ID" and not parameter.names) or (path == ["blame"] and noun == "PATH"):
        return Offer()  # of a batch or a patch, which would have to be read
    files = "files" if typed.startswith("script:") else _FILES.get(noun, "")
    return Offer(words=tuple(_words(noun, typed, table)), files=files)


def _words(noun: str, typed: str, table: Table) -> Iterator[tuple[str, str]]:
    match noun:
        case "RUN" | "RUN|DIR":
            yield _LAST
            yield from _runs(typed)
        case "POLICY" | "A" | "B":
            yield from _policies()
        case "MODEL":
            yield from _untold((*table.models, "script:"))
        case "PROVIDER":
            yield from _untold(table.providers)
        case "IMAGE" | "IMG":
            yield from _untold(table.images)
        case "ID":
            yield from _untold(table.findings)
        case choices if "|" in choices:
            yield from _untold(choices.strip("<>").split("|"))


def _untold(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    return ((word, "") for word in words)


def _runs(typed: str) -> Iterator[tuple[str, str]]:
    """The newest first, each with the task that it was given."""
    folder = environment.home() / "runs"
    names = sorted((name for name in _entries(folder) if name.startswith(typed)), reverse=True)
    for number, name in enumerate(names[:_MOST]):
        yield name, _task(folder / name) if number < _TOLD else ""


def _task(run: Path) -> str:
    try:
        with (run / "run.json").open("rb") as file:
            summary = json.loads(file.read(_LARGEST_SUMMARY))
        return f"{summary['outcome']}: {summary['task']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def _policies() -> Iterator[tuple[str, str]]:
    for folder, text in (
        (_BUNDLED, "comes with Moonpool"),
        (environment.policy_directory(), "your own"),
    ):
        for name in sorted(_entries(folder)):
            if name.endswith(".yaml"):
                yield name.removesuffix(".yaml"), text


def _entries(folder: Path) -> list[str]:
    """The names in a folder; none that would be taken for an option."""
    try:
        return [entry.name for entry in folder.iterdir() if not entry.name.startswith((".", "-"))]
    except OSError:
        return []
