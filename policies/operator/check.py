"""A policy checked before it is used: its errors shown in place, its examples tried.

Owns what `moonpool policy check` and `moonpool policy test` say.
"""

import re
import unicodedata
from pathlib import Path

from policies.commands.rules import SAID
from policies.decision import Allow, Call, decide
from policies.errors import PolicyError
from policies.frozen import dataclass
from policies.loading import chain
from policies.policy import Policy

_SHOWN = 100
"""Columns of a line that are shown, around the place."""
_BEFORE = 60

_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What ends a line of YAML, and is counted as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleResult:
    """One example of a policy, tried."""

    command: str
    expected: str
    """``allow`` or ``deny``."""
    got: str
    """``allow``, ``ask`` or ``deny``."""
    reason: str
    key: str
    """Where it stands in the policy: ``examples.allow[0]``."""

    @property
    def holds(self) -> bool:
        """An ask counts as a denial: without a terminal it is one."""
        return (self.got == "allow") == (self.expected == "allow")


def broken_examples(policy: Policy) -> tuple[PolicyError, ...]:
    """The examples of a policy that do not hold, each in its place."""
    found: list[PolicyError] = []
    for result in run_examples(policy):
        if not result.holds:
            reason = f": {result.reason}" if result.reason else ""
            message = f"should be {SAID[result.expected]}, and is {SAID[result.got]}{reason}"
            where = policy.places.get(result.key, policy.where)
            found.append(PolicyError(message, where=where, key=result.key))
    return tuple(found)


def shown(error: PolicyError, text: str | None = None) -> str:
    """An error, the line it is about, and carets under the key or value.

    ``text`` is the file's; None: it is read again if it can be.
    """
    where = error.where
    column = f":{where.column}" if where.column else ""
    key = f"{error.key}: " if error.key else ""
    head = f"{where}{column}: {key}{error.message}"
    if text is None:
        text = _text_of(where.file)
    lines = _LINE_END.split(text) if text is not None and where.line else []
    if not 0 < where.line <= len(lines) or not lines[where.line - 1].strip():
        return head
    line = "".join(_printable(char) for char in lines[where.line - 1])
    at = min(max(0, where.column - 1), len(line))
    start = max(0, at - _BEFORE) if len(line) > _SHOWN else 0
    end = min(len(line), start + _SHOWN)
    before, after = "…" if start else "", "…" if end < len(line) else ""
    indent = " " * (_cells(line[start:at]) + len(before))
    carets = "^" * max(1, _cells(line[at : min(end, at + where.width)]))
    return f"{head}\n    {before}{line[start:end]}{after}\n    {indent}{carets}"


def as_data(error: PolicyError) -> dict[str, object]:
    """Plain data, for ``--json``; columns count characters from 1, the end is behind the last."""
    where = error.where
    return {
        "file": where.file,
        "line": where.line,
        "column": where.column,
        "end_column": where.column + where.width if where.column else 0,
        "key": error.key,
        "message": error.message,
    }


def _printable(char: str) -> str:
    """One character for one, so that the columns stay: a tab is a blank, a control a dot."""
    if char == "\t":
        return " "
    return char if char.isprintable() else "·"


def _cells(text: str) -> int:
    """Columns that a text takes on a terminal."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def run_examples(policy: Policy) -> tuple[ExampleResult, ...]:
    """Try a policy's own examples through `decide`."""
    return tuple(
        _tried(policy, command, expected, f"examples.{expected}[{index}]")
        for expected, commands in (
            ("allow", policy.examples.allow),
            ("deny", policy.examples.deny),
        )
        for index, command in enumerate(commands)
    )


def _tried(policy: Policy, command: str, expected: str, key: str) -> ExampleResult:
    decision = decide(policy, Call(tool="bash", arguments={"command": command}))
    got = type(decision).__name__.lower()
    reason = "" if isinstance(decision, Allow) else decision.reason
    return ExampleResult(command=command, expected=expected, got=got, reason=reason, key=key)


def _text_of(file: str) -> str | None:
    try:
        if file.endswith((".yaml", ".yml")) and "/" not in file and not Path(file).is_file():
            for layer in chain(file.rpartition(".")[0]):
                if layer.document.file == file:
                    return layer.document.text
            return None
        with Path(file).open("rb") as stream:
            return stream.read(1 << 18).decode("utf-8", "replace")
    except (OSError, ValueError, PolicyError):
        return None
