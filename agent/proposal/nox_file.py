"""What the test session of a noxfile.py installs, in plain literals, by its syntax tree.

It is never run. What a session computes is not seen.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from agent.proposal.setup_script import MAX_CHARACTERS, named_values, texts

_SESSIONS = ("tests", "test", "unit", "unit_tests", "pytest")
"""Names of functions; without any of them, the first that has `test` in its name."""
_INSTALLS = ("install", "run", "run_always", "run_install")
_MAX_CALLS = 200
_MAX_WORDS = 300


class NoxSession(NamedTuple):
    lines: tuple[str, ...] = ()
    """In the form of pip's own files."""
    groups: tuple[str, ...] = ()
    """Dependency groups of the project."""


def read(text: str) -> NoxSession:
    """What is asked for; nothing where the file can't be read."""
    try:
        tree = ast.parse(text if len(text) <= MAX_CHARACTERS else "")
        functions = {it.name: it for it in tree.body if isinstance(it, ast.FunctionDef)}
        names = [*_SESSIONS, *(it for it in functions if "test" in it)]
        session = next((functions[it] for it in names if it in functions), None)
        lists = {name: texts(value, {}) for name, value in named_values(tree).items()}
        return NoxSession() if session is None else _read(session, lists)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return NoxSession()


def _read(session: ast.FunctionDef, lists: Mapping[str, tuple[str, ...]]) -> NoxSession:
    lines, groups = list[str](), list[str]()
    calls = (it for it in ast.walk(session) if isinstance(it, ast.Call))
    for call in islice(calls, _MAX_CALLS):
        called = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        words = islice(_words(call.args, lists), _MAX_WORDS)
        if called == "dependency_groups":
            groups += words
        elif called in _INSTALLS:
            for kind, value in _asked(words, installs=called == "install"):
                (groups if kind == "group" else lines).append(value)
    return NoxSession(tuple(lines), tuple(groups))


def _words(arguments: list[ast.expr], lists: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for it in arguments:
        if isinstance(it, ast.Starred) and isinstance(it.value, ast.Name):
            yield from lists.get(it.value.id, ())
        elif isinstance(it, ast.Constant) and isinstance(it.value, str):
            yield it.value


def _asked(words: Iterable[str], *, installs: bool) -> Iterator[tuple[str, str]]:
    rest = iter(words)
    for word in rest:
        flag, _, value = word.partition("=")
        if flag in ("--group", "--only-group"):
            yield "group", value or next(rest, "")
        elif flag == "--extra":
            yield "line", f".[{value or next(rest, '')}]"
        elif installs and flag in ("-r", "--requirement", "-e", "--editable"):
            yield "line", f"{flag} {value or next(rest, '')}"
        elif installs and not word.startswith("-"):
            yield "line", word
