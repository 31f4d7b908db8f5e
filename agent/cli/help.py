"""What ``--help`` shows, and the usage line of an error. Owns the layout; knows no command."""

import os
import sys
import textwrap
from collections.abc import Iterable
from typing import Any

from agent.cli.arguments import HELP, Command, Parameter
from agent.cli.verbs import Group

_WIDEST = 80
_NARROWEST = 50
_LEFT_COLUMN = 30
"""Characters; what is longer has its text on the next line."""
_GAP = 2


def of_group(name: str, group: Group, options: Iterable[Parameter[Any]]) -> str:
    """Help of a command that others stand below."""
    verbs = [(verb, found.summary) for verb, found in group.verbs.items()]
    return "\n".join(
        [
            usage_of_group(name),
            "",
            _paragraphs(group.summary),
            "",
            *_section("Options", [_option(it) for it in (*options, HELP)]),
            "",
            *_section("Commands", verbs),
        ]
    )


def of_command(name: str, summary: str, command: Command) -> str:
    """Help of a command that does something."""
    arguments = [it for it in command.parameters if not it.names]
    options = [it for it in command.parameters if it.names]
    lines = [usage_of_command(name, command), "", _paragraphs(f"{summary}{command.details}"), ""]
    if arguments:
        lines += [*_section("Arguments", [_argument(it) for it in arguments]), ""]
    return "\n".join([*lines, *_section("Options", [_option(it) for it in (*options, HELP)])])


def usage_of_group(name: str) -> str:
    return f"Usage: {name} [OPTIONS] COMMAND [ARGS]..."


def usage_of_command(name: str, command: Command) -> str:
    words = [
        (it.metavar if it.required else f"[{it.metavar}]") + ("..." if it.many else "")
        for it in command.parameters
        if not it.names
    ]
    return " ".join(["Usage:", name, "[OPTIONS]", *words])


def _width() -> int:
    """Of a terminal, as ``COLUMNS`` or the terminal itself says; without one as wide as may be."""
    columns = os.environ.get("COLUMNS", "")
    try:
        wide = int(columns) if columns else os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        wide = _WIDEST
    return max(min(wide, _WIDEST) - _GAP, _NARROWEST)


def _paragraphs(text: str) -> str:
    """Each paragraph filled and indented; one that begins with ``\\b`` as it is written."""
    shown = []
    for paragraph in map(textwrap.dedent, text.strip().split("\n\n")):
        if paragraph.startswith("\b"):
            shown.append(textwrap.indent(paragraph.removeprefix("\b\n"), "  "))
        else:
            shown.append(_filled(paragraph, indent="  "))
    return "\n\n".join(shown)


def _filled(text: str, *, indent: str) -> str:
    return textwrap.fill(
        " ".join(text.split()),
        _width(),
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def _section(title: str, rows: list[tuple[str, str]]) -> list[str]:
    widest = max(len(left) for left, _ in rows)
    column = min(widest, _LEFT_COLUMN) + _GAP
    lines = [f"{title}:"]
    for left, text in rows:
        right = textwrap.wrap(text, max(_width() - column - _GAP, 10), break_on_hyphens=False)
        if len(left) > column - _GAP or not right:
            lines.append(f"  {left}")
        else:
            lines.append(f"  {left:<{column}}{right.pop(0)}")
        lines += [" " * (column + 2) + line for line in right]
    return lines


def _option(parameter: Parameter[Any]) -> tuple[str, str]:
    names = ", ".join(parameter.names) + (f" / {parameter.no}" if parameter.no else "")
    return f"{names} {parameter.metavar}".rstrip(), _noted(parameter.help, parameter.notes)


def _argument(parameter: Parameter[Any]) -> tuple[str, str]:
    return parameter.metavar, _noted(parameter.help, "required" if parameter.required else "")


def _noted(text: str, note: str) -> str:
    return f"{text}  [{note}]".strip() if note else text
