"""What an allowed program brings along: the data in `programs.yaml`, matched with an image.

Owns reading that file and its patterns. Refuses to know policies and Landlock.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from policies.document import parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What one program needs to do its work."""

    brings: tuple[str, ...] = ()
    """Names, absolute paths or path patterns of what becomes executable."""
    reads: tuple[str, ...] = ()
    """Path patterns of what becomes readable only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundles:
    always: Bundle
    programs: dict[str, Bundle]
    tools: dict[str, tuple[str, ...]]
    """By tool: alternatives, the first that the image holds is brought."""
    unneeded: tuple[str, ...]
    """Directories not worth taking apart."""

    def of(self, name: str) -> Bundle:
        return self.programs.get(name, Bundle())


@lru_cache(maxsize=1)
def bundles() -> Bundles:
    """The data that comes with Moonpool."""
    text = (resources.files("policies") / "programs.yaml").read_text("utf-8")
    data: Any = parse(text, file="programs.yaml").data
    programs: dict[str, Bundle] = {}
    for name, entry in data["programs"].items():
        while "like" in entry:
            entry = data["programs"][entry["like"]]  # noqa: PLW2901 - a reference, followed
        programs[name] = _bundle(entry)
    return Bundles(
        always=_bundle(data["always"]),
        programs=programs,
        tools=data["tools"],
        unneeded=data["unneeded"],
    )


def _bundle(entry: Any) -> Bundle:
    return Bundle(brings=entry.get("brings", ()), reads=entry.get("reads", ()))


def is_pattern(entry: str) -> bool:
    return "*" in entry


def matching(patterns: Iterable[str], paths: Iterable[str]) -> list[str]:
    """The paths that the patterns name; a later ``!`` takes out what an earlier one named."""
    compiled = [(not p.startswith("!"), _compiled(p.removeprefix("!"))) for p in patterns]
    found: list[str] = []
    for path in paths:
        named = False
        for adds, expression in compiled:
            if expression.fullmatch(path):
                named = adds
        if named:
            found.append(path)
    return found


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    everything_below = pattern.endswith("/**")
    body = pattern.removesuffix("/**")
    expression = "[^/]*".join(re.escape(part) for part in body.split("*"))
    return re.compile(expression + ("/.*" if everything_below else ""), re.DOTALL)
