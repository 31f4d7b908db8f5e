"""Shell lines and settings that start programs are looked at without being run.

Owns what can be known of a command before it runs: options of ours, targets of make, files that
are named, extras.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agent.cli.arguments import HelpWanted, Misuse, parse
from agent.cli.verbs import VERBS, Group
from checkout import ROOT
from policies.shell.ast import SimpleCommand
from policies.shell.parse import parse as parse_shell

_EXTRA = re.compile(r"^\.\[([a-z,]+)\]$")
_FILE = re.compile(r"^(?:benchmarks|acceptance|examples|scripts|docs|tests)/")


def wrong_in_shell(text: str) -> list[str]:
    """What can't be right about shell text, in words."""
    parsed = parse_shell(text)
    problems = [parsed.problem] if parsed.problem else []
    for words in _commands(text):
        problems += wrong_in_command(words)
    return problems


def _commands(text: str) -> Iterator[list[str]]:
    for item in parse_shell(text).items:
        if isinstance(item, SimpleCommand):
            yield [word.value if isinstance(word.value, str) else "$" for word in item.words]


def wrong_in_command(words: Sequence[str]) -> Iterator[str]:
    match [*words]:
        case ["moonpool", *rest]:
            yield from _wrong_in_ours(rest)
        case ["make", *targets]:
            makefile = (ROOT / "Makefile").read_text("utf-8")
            for target in targets:
                if f"\n{target}:" not in makefile:
                    yield f"there is no target {target}"
        case ["pip", "install", *what]:
            yield from _wrong_extras(what)
    for word in words:
        if _FILE.match(word) and not (ROOT / word).exists():
            yield f"there is no {word}"


def _wrong_in_ours(words: Sequence[str]) -> Iterator[str]:
    """A command line of ours is parsed as the program does it, and not carried out."""
    found: object = VERBS
    left = list(words)
    while isinstance(found, Group):
        if left[:1] in (["--help"], ["--version"]):
            return
        name = left.pop(0) if left else ""
        if name not in found.verbs:
            yield f"there is no command {name!r}"
            return
        found = found.verbs[name]
    try:
        parse(found.load(), left)  # type: ignore[attr-defined]
    except HelpWanted:
        return
    except Misuse as error:
        yield f"moonpool {' '.join(words)}: {error}"


def _wrong_extras(words: Iterable[str]) -> Iterator[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for word in words:
        if word.startswith("moonpool"):
            yield "no index has this project: '.[EXTRA]' in a checkout"
        for extra in (_EXTRA.match(word) or ["", ""])[1].split(","):
            if extra and extra not in project["optional-dependencies"]:
                yield f"there is no extra {extra}"


def started(setting: Any) -> Iterator[list[str]]:
    """Every command line in a client's settings: ``command`` with ``args``, at any depth."""
    match setting:
        case Mapping():
            command, words = setting.get("command"), setting.get("args", [])
            if isinstance(command, str):
                yield [command.rpartition("/")[2], *map(str, words)]
            elif isinstance(command, list):
                yield [str(command[0]).rpartition("/")[2], *map(str, command[1:])]
            for value in setting.values():
                yield from started(value)
        case list():
            for value in setting:
                yield from started(value)
