"""A proposed policy as YAML, every line with its reason.

Nothing of the repository can become more than a word or a comment here: values are written as JSON
strings, comments as one line of ASCII.
"""

import json
from collections.abc import Iterable, Iterator, Mapping

from agent.proposal.values import Lines, Proposed, ProposedLine
from agent.untrusted_text import one_line
from policies.loading import bundled_names

_WIDEST = 240


def comment(text: str) -> str:
    """One harmless line, without its sign."""
    return one_line(text, _WIDEST).encode("ascii", "backslashreplace").decode("ascii")


def policy_text(
    proposed: Proposed, *, name: str, packages: Mapping[str, str], problems: Iterable[str]
) -> str:
    """The whole file."""
    return "\n".join(
        [
            "# Proposed by `moonpool init` from the repository's files. None of it was run.",
            "# Read it, change it, and keep it outside the repository.",
            *(f"# Note: {comment(note)}" for note in dict.fromkeys(proposed.notes)),
            *(f"# Not read: {comment(problem)}" for problem in dict.fromkeys(problems)),
            "version: 1",
            f"name: {json.dumps(name)}",
            "# The usual tools of a repository; git without remotes; nothing that has a network",
            f"extends: {proposed.image if proposed.image in bundled_names() else 'default'}",
            f"# {comment(proposed.reason)}",
            f"image: {proposed.image}",
            *_setup(proposed, packages),
            "",
        ]
    )


def _setup(proposed: Proposed, packages: Mapping[str, str]) -> Iterator[str]:
    if not (proposed.commands or proposed.prepare or packages):
        return
    # A section of comments alone would be no mapping.
    yield "setup:" if proposed.commands or proposed.prepare else "# setup:"
    yield from _section("inputs", proposed.inputs, "  ")
    if packages:
        yield "  # Of the system, by apt. To take it: uncomment, add `apt` to the"
        yield "  # network, and put the line in front of the others, which then run as root too."
        for package, path in packages.items():
            yield f"  #   {package}: {comment(path)}"
        yield "  # as_root: true"
        names = " ".join(packages)
        install = f"apt-get install -y --no-install-recommends {names}"
        install = f"apt-get update --error-on=any && {install}"
        yield f"  #   - {json.dumps(install)}"
    yield from _section("commands", proposed.commands, "  ")
    yield from _section("network", proposed.network, "  ")
    yield from _section("prepare", proposed.prepare, "  ")


def _section(key: str, lines: Lines, indent: str) -> Iterator[str]:
    if not lines:
        return
    yield f"{indent}{key}:"
    for line in _first(lines):
        yield f"{indent}  # {comment(line.reason)}"
        yield f"{indent}  - {json.dumps(line.value)}"


def _first(lines: Lines) -> list[ProposedLine]:
    """The first line of each value."""
    seen: dict[str, ProposedLine] = {}
    for line in lines:
        seen.setdefault(line.value, line)
    return list(seen.values())
