"""How a proposed policy is written: on lines that a person reads, with comments, and nothing else.

What stands in it was a model's or a repository's: values go through the YAML library, ASCII only,
and a comment can't end before its line does.
"""

from collections.abc import Mapping, Sequence

import yaml

EXAMPLES = 20
MAX_NUMBERS = 8
VERIFY = 0
"""Number of the operator's verify command, which is no call."""

_LONGEST_EXAMPLE = 120
_LONGEST_COMMENT = 160

Numbers = Mapping[int, None]
"""Of calls, in order."""


def minutes(seconds: float) -> float:
    """Up to whole minutes: a second run is never as fast as the first to the second."""
    return max(60.0, -(-seconds // 60) * 60)


def rounded(count: int) -> int:
    """A quarter more, up to whole thousands."""
    return max(1000, -(-count * 5 // 4000) * 1000)


def shown(examples: Sequence[str]) -> list[str]:
    plain = (
        text
        for text in dict.fromkeys(examples)
        if text.isascii() and text.isprintable() and len(text) <= _LONGEST_EXAMPLE and text.strip()
    )
    return [text for text, _ in zip(plain, range(EXAMPLES), strict=False)]


def entries(key: str, found: Mapping[str, Numbers]) -> list[str]:
    if not found:
        return [f"{key}: []"]
    return [f"{key}:", *(f"  - {entry}{numbered(calls)}" for entry, calls in found.items())]


def numbered(calls: Numbers) -> str:
    if not calls:
        return ""
    known = [number for number in calls if number != VERIFY]
    shown = ", ".join(str(number) for number in known[:MAX_NUMBERS])
    more = " …" if len(known) > MAX_NUMBERS else ""
    words = [f"call{'s' if len(known) > 1 else ''} {shown}{more}"] if known else []
    words += ["--verify"] if VERIFY in calls else []
    return "  # " + ", ".join(words)


def flow(value: object) -> str:
    """On one line, with nothing in it but ASCII."""
    text = yaml.safe_dump(value, default_flow_style=True, width=1 << 30, sort_keys=False)
    return text.strip()


def quoted(text: str) -> str:
    return flow([text])[1:-1]


def comment(text: str) -> str:
    plain = text.encode("unicode_escape").decode("ascii")
    return f"# {plain[:_LONGEST_COMMENT]}"
