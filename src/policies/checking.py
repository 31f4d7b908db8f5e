"""A policy checked before it is used: its errors shown in place, its examples tried.

Owns what `moonpool policy check` and `moonpool policy test` say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from policies.decision import Allow, Call, decide
from policies.errors import PolicyError
from policies.loading import chain, load
from policies.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleResult:
    """One example of a policy, tried."""

    command: str
    expected: str
    """``allow`` or ``deny``."""
    got: str
    """``allow``, ``ask`` or ``deny``."""
    reason: str

    @property
    def holds(self) -> bool:
        """An ask counts as a denial: without a terminal it is one."""
        return (self.got == "allow") == (self.expected == "allow")


def problems(name_or_path: str, *, directory: Path | None = None) -> tuple[PolicyError, ...]:
    """Every error of a policy's file, in its order; empty: it can be used."""
    try:
        load(name_or_path, directory=directory)
    except PolicyError as error:
        return (error, *error.others)
    return ()


def shown(error: PolicyError, text: str | None = None) -> str:
    """An error with the line it is about and a caret under the place.

    ``text`` is the file's; None: it is read again if it can be.
    """
    where = error.where
    column = f":{where.column}" if where.column else ""
    key = f"{error.key}: " if error.key else ""
    head = f"{where}{column}: {key}{error.message}"
    if text is None:
        text = _text_of(where.file)
    lines = text.splitlines() if text is not None and where.line else []
    if not 0 < where.line <= len(lines) or not lines[where.line - 1].strip():
        return head
    line = lines[where.line - 1].replace("\t", " ")
    start = max(0, where.column - 60)
    caret = " " * max(0, where.column - 1 - start) + "^"
    return f"{head}\n    {line[start : start + 100]}\n    {caret}"


def run_examples(policy: Policy) -> tuple[ExampleResult, ...]:
    """Try a policy's own examples through `decide`."""
    wanted: Sequence[tuple[str, str]] = [
        *((command, "allow") for command in policy.examples.allow),
        *((command, "deny") for command in policy.examples.deny),
    ]
    return tuple(_tried(policy, command, expected) for command, expected in wanted)


def _tried(policy: Policy, command: str, expected: str) -> ExampleResult:
    decision = decide(policy, Call(tool="bash", arguments={"command": command}))
    got = type(decision).__name__.lower()
    reason = "" if isinstance(decision, Allow) else decision.reason
    return ExampleResult(command=command, expected=expected, got=got, reason=reason)


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
