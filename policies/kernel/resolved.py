"""A policy in an image, for people and programs: which files run, why, and what else comes along.

Owns that as text and as JSON. Pure: the rules were worked out before (`rules`).
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

from policies.commands.effects import ALL as BUILTINS
from policies.errors import first_lines
from policies.frozen import dataclass
from policies.kernel.resolution import BroughtFile, GrantReason
from policies.kernel.rules import Access, KernelRules, PathRule
from policies.kernel.services import ServiceDomain
from policies.policy import CommandRule, Policy

_MAX_LINES = 8
"""Of files that one program brings for one reason; the rest is a number. JSON has them all."""
_WHY = {
    GrantReason.NEEDS: "needed",
    GrantReason.INTERPRETER: "its first line names it",
    GrantReason.TOOL: "the tool runs it",
    GrantReason.ALWAYS: "always",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedPolicy:
    policy: Policy
    image: str
    rules: KernelRules
    may_ask: bool
    services: Mapping[str, ServiceDomain] = field(default_factory=dict)
    """What each service may do in the image, by its name."""


def as_json(resolved: ResolvedPolicy) -> dict[str, object]:
    """Everything, for a program to read; paths are absolute in the image."""
    found = resolved.rules.granted
    return {
        "policy": resolved.policy.name,
        "image": resolved.image,
        "rules": [
            {
                "program": rule.program,
                "ask": rule.ask,
                "file": found.listed.get(rule.program),
                "where": f"{rule.where.file}:{rule.where.line}",
                "standing": _standing(resolved, rule),
            }
            for rule in _one_each(resolved.policy.commands)
        ],
        "brought": [
            {"file": one.path, "by": one.by, "reason": one.reason.value} for one in found.brought
        ],
        "executable": sorted(found.executable),
        "readable_only": sorted(found.readable),
        "missing": list(found.missing),
        "shared": [
            {"file": one.path, "listed": list(one.listed), "others": list(one.others)}
            for one in found.shared
        ],
        "libraries": {
            "withheld": sorted(found.libraries.withheld),
            "loaded": [{"file": path, "by": by} for path, by in found.libraries.loaded],
        },
        "services": [
            {
                "name": name,
                "executable": sorted(domain.executable),
                "missing": list(domain.missing),
                "kernel_rules": _rows(domain.rules),
            }
            for name, domain in resolved.services.items()
        ],
        "notes": list(resolved.rules.notes),
        "kernel_rules": _rows(resolved.rules.rules),
    }


def _rows(rules: Iterable[PathRule]) -> list[dict[str, str]]:
    return [{"path": rule.path, "access": _letters(rule.access)} for rule in rules]


def as_text(resolved: ResolvedPolicy, *, every_rule: bool) -> str:
    """The same for a person, bounded; ``every_rule``: each Landlock rule too."""
    return "\n".join(_lines(resolved, every_rule=every_rule)) + "\n"


def _lines(resolved: ResolvedPolicy, *, every_rule: bool) -> Iterator[str]:
    found = resolved.rules.granted
    yield f"policy {resolved.policy.name} in image {resolved.image}"
    yield ""
    yield "runs:"
    by_bringer: dict[str, list[BroughtFile]] = {}
    for one in found.brought:
        by_bringer.setdefault(one.by, []).append(one)
    shown: set[str] = set()
    for rule in _one_each(resolved.policy.commands):
        path = found.listed.get(rule.program)
        if path is None:
            continue
        yield f"  {rule.program}  {path}{'  (asks first)' if rule.ask else ''}"
        yield from _tree(path, by_bringer, shown, "    ")
    for by, brought in by_bringer.items():
        if not by.startswith("/"):
            yield f"  {f'the tool {by}' if by else 'always'}"
            for one in brought:
                yield f"    {one.path}"
                yield from _tree(one.path, by_bringer, shown, "      ")
    yield from _section("is only read:", first_lines(sorted(found.readable), _MAX_LINES))
    yield from _section("not in the image:", found.missing)
    asking = [
        rule.program
        for rule in _one_each(resolved.policy.commands)
        if _standing(resolved, rule) in {"asks", "no arguments"}
    ]
    yield from _section("does not run without somebody to ask, or by its arguments:", asking)
    yield from _section("can't be held apart:", map(str, found.shared))
    yield from _section(
        "libraries of programs that are not listed, neither read nor loaded:",
        sorted(found.libraries.withheld),
    )
    yield from _section(
        "libraries that hold a program and come along:",
        (f"{path}, which {by} loads" for path, by in found.libraries.loaded),
    )
    for name, domain in resolved.services.items():
        yield from _section(
            f"service {name}, in a domain of its own, runs:",
            (*sorted(domain.executable), *(f"{one} (not in the image)" for one in domain.missing)),
        )
    yield from _section("to know:", resolved.rules.remarks)
    yield ""
    yield f"{len(found.executable)} files run; {len(resolved.rules.rules)} Landlock rules" + (
        ":" if every_rule else " (--rules prints them)"
    )
    if every_rule:
        for one_rule in resolved.rules.rules:
            yield f"  {_letters(one_rule.access):4} {one_rule.path}"


def _tree(
    path: str, by_bringer: dict[str, list[BroughtFile]], shown: set[str], indent: str
) -> Iterator[str]:
    """What a program brings, and what that brings; each program's once."""
    if path in shown:
        if path in by_bringer:
            yield f"{indent}(brings what is said above)"
        return
    shown.add(path)
    reasons: dict[str, list[str]] = {}
    for one in by_bringer.get(path, ()):
        reasons.setdefault(one.path, []).append(_WHY[one.reason])
    alike: dict[tuple[str, str], list[str]] = {}
    for brought, why in reasons.items():
        # Those that bring something themselves get a line each.
        folder = brought if brought in by_bringer else posixpath.dirname(brought)
        alike.setdefault((folder, ", ".join(why)), []).append(brought)
    for (folder, why_all), paths in alike.items():
        if len(paths) > _MAX_LINES:
            yield f"{indent}→ {folder}/ ({len(paths)} files): {why_all}"
            continue
        for brought in paths:
            yield f"{indent}→ {brought}: {why_all}"
            if brought in by_bringer:
                yield from _tree(brought, by_bringer, shown, indent + "  ")


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    lines = tuple(lines)
    if lines:
        yield ""
        yield title
        yield from (f"  {line}" for line in lines)


def _one_each(rules: Iterable[CommandRule]) -> list[CommandRule]:
    """The first rule of each program: the kernel knows files, not arguments."""
    return list({rule.program: rule for rule in reversed(tuple(rules))}.values())[::-1]


def _standing(resolved: ResolvedPolicy, rule: CommandRule) -> str:
    if rule.program in resolved.rules.granted.listed:
        return "runs"
    if rule.ask and not resolved.may_ask:
        return "asks"
    if rule.args == ():
        return "no arguments"
    return "builtin" if rule.program in BUILTINS else "missing"


def _letters(access: Access) -> str:
    pairs = ((Access.READ, "r"), (Access.WRITE, "w"), (Access.EXECUTE, "x"), (Access.LIST, "l"))
    return "".join(letter if access & flag else "-" for flag, letter in pairs)
