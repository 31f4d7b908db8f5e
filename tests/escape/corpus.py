"""The attempts as data: what each tries, how, and what would show that it went through."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).with_name("attempts")
_ANSWER = {"programs": "1764"}
"""What a program computes that should not have run; elsewhere an attempt says so itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    id: str
    tries: str
    broken_if: str
    """In the output: it went through."""
    command: str
    stdin: bytes | None = None
    policy: str = "default"
    timeout_s: float = 20
    held_otherwise: str | None = None
    """Why it would fail even if the policy listed the program; None: it would not."""


def attempts(group: str) -> list[Attempt]:
    """The attempts of one file."""
    rows: list[dict[str, Any]] = yaml.safe_load((HERE / f"{group}.yaml").read_text("utf-8"))
    return [_attempt(group, row) for row in rows]


def _attempt(group: str, row: dict[str, Any]) -> Attempt:
    stdin = None
    if "python" in row:
        command, stdin = "python3 -", row["python"].encode()
    elif "c" in row:
        command, stdin = "gcc -w -x c -o a.out - -lpthread && ./a.out", row["c"].encode()
    else:
        command = row["run"]
    known = {"id", "tries", "run", "python", "c", "policy", "timeout", "held_otherwise"}
    assert set(row) <= known, f"{group}: {row['id']}: {set(row) - known}"
    return Attempt(
        id=row["id"],
        tries=row["tries"],
        broken_if=_ANSWER.get(group, "BROKE"),
        command=command,
        stdin=stdin,
        policy=row.get("policy", "default"),
        timeout_s=row.get("timeout", 20),
        held_otherwise=row.get("held_otherwise"),
    )
