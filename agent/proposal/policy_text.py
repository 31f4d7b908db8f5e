"""A proposed policy as YAML, every line with its reason.

Nothing of the repository can become more than a word or a comment here: values are written as JSON
strings, comments as short lines of ASCII.
"""

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping

from agent.proposal.values import Lines, Proposed
from agent.untrusted_text import one_line
from policies.loading import bundled_names

_LONGEST = 240
_A_SUITE_IS_ONE_COMMAND = (
    "# The whole suite is one command; without this, one may take 2m",
    "limits: {command_timeout: 10m, widen: [command_timeout]}",
)
_WIDTH = 78
"""Of a line with a comment. A terminal breaks a longer one where its writer likes, and what stands
on the second row looks like a line of the policy."""


def _comment(text: str, front: str = "", indent: str = "") -> Iterator[str]:
    """A text in harmless lines, each with its sign."""
    plain = one_line(text, _LONGEST).encode("ascii", "backslashreplace").decode("ascii")
    first = f"{indent}# {front}"
    yield from textwrap.wrap(
        plain, _WIDTH, initial_indent=first, subsequent_indent=f"{indent}#   ",
        break_on_hyphens=False,
    ) or [first.rstrip()]  # fmt: skip


def policy_text(
    proposed: Proposed,
    *,
    name: str,
    packages: Mapping[str, str],
    zone: str | None,
    problems: Iterable[str],
) -> str:
    """The whole file."""
    env = ["env:", "  # the time zone that CI tests in", f"  TZ: {zone}"] if zone else []
    return "\n".join(
        [
            "# Proposed by `moonpool init` from the repository's files. None of it was run.",
            "# Read it, change it, and keep it outside the repository.",
            *(row for it in dict.fromkeys(proposed.notes) for row in _comment(it, "Note: ")),
            *(row for it in dict.fromkeys(problems) for row in _comment(it, "Not read: ")),
            "version: 1",
            f"name: {json.dumps(name)}",
            "# The usual tools of a repository; git without remotes; no network",
            f"extends: {proposed.image if proposed.image in bundled_names() else 'default'}",
            *_comment(proposed.reason),
            f"image: {proposed.image}",
            *_section("+commands", proposed.programs, indent=""),
            *_setup(proposed, packages),
            *env,
            *(_A_SUITE_IS_ONE_COMMAND if proposed.verify else ()),
            "",
        ]
    )


def _setup(proposed: Proposed, packages: Mapping[str, str]) -> Iterator[str]:
    if not (proposed.commands or proposed.prepare or packages):
        return
    # A section of comments alone would be no mapping.
    yield "setup:" if proposed.commands or proposed.prepare else "# setup:"
    yield from _section("inputs", proposed.inputs)
    if packages:
        yield "  # Of the system, by apt. To take it: uncomment, add `apt` to the network, and"
        yield "  # put the line in front of the others, which then run as root too."
        for package, path in packages.items():
            yield from _comment(path, f"  {package}: ", "  ")
        yield "  # as_root: true"
        names = " ".join(packages)
        install = f"apt-get install -y --no-install-recommends {names}"
        install = f"apt-get update --error-on=any && {install}"
        yield f"  #   - {json.dumps(install)}"
    yield from _section("commands", proposed.commands)
    yield from _section("network", proposed.network)
    yield from _section("prepare", proposed.prepare)


def _section(key: str, lines: Lines, indent: str = "  ") -> Iterator[str]:
    if lines:
        yield f"{indent}{key}:"
    reasons: dict[str, str] = {}
    for line in lines:
        reasons.setdefault(line.value, line.reason)
    said = ""
    for value, reason in reasons.items():
        if reason != said:  # it stands over all lines that it is the reason of
            yield from _comment(reason, indent=f"{indent}  ")
        said = reason
        yield f"{indent}  - {json.dumps(value)}"
