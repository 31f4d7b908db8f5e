"""What two sayings of one key both permit: rules, places, patterns.

Pure functions from what a policy says and what a ceiling says to what holds under both. Refuses
to know which keys there are (`ceiling`).
"""

import posixpath
from collections.abc import Sequence
from dataclasses import replace

from policies.commands.argument_rules import may_be_alias
from policies.commands.rules import STANDARD_DIRECTORIES
from policies.paths import normal, within
from policies.policy import CommandRule, Forbids

Args = tuple[tuple[str, ...], ...] | None


def rules(mine: Sequence[CommandRule], bounds: Sequence[CommandRule]) -> tuple[CommandRule, ...]:
    """Rules that match a command exactly if one of `mine` and one of `bounds` do.

    Every pair makes one; it asks, forbids and requires what either does. A rule that the other
    leaves as it is keeps its place, one that is narrowed gets the place of what narrowed it.
    """
    found: dict[tuple[object, ...], CommandRule] = {}
    for rule in mine:
        for bound in bounds:
            met = _pair(rule, bound)
            if met is not None:
                found.setdefault(_meaning(met), met)
    return tuple(found.values())


def _pair(rule: CommandRule, bound: CommandRule) -> CommandRule | None:
    program = _program(rule.program, bound.program)
    if program is None:
        return None
    args = _args(rule.args, bound.args)
    if args is not None and any(_requires_of_any(one) for one in (rule, bound)):
        # What that rule never fits, it does not veto either: nothing is left of those.
        args = tuple(begin for begin in args if not may_be_alias(program, begin))
    # A rule that permits no arguments may still forbid some to all others, or ask about them.
    narrows = any(one.args == () and (one.forbid or one.ask) for one in (rule, bound))
    if args == () and not narrows:
        return None
    met = replace(
        rule,
        program=program,
        args=args,
        ask=rule.ask or bound.ask,
        forbid=either(rule.forbid, bound.forbid),
        require=either(rule.require, bound.require),
        forbids=Forbids.WITH_ARGS if args is None else _forbids(rule, bound),
    )
    if _meaning(met) == _meaning(rule):
        return rule
    return replace(met, where=bound.where, key=bound.key)


def _requires_of_any(rule: CommandRule) -> bool:
    return rule.args is None and bool(rule.require) and not rule.forbid


def _forbids(rule: CommandRule, bound: CommandRule) -> Forbids:
    said = Forbids(0)
    for one in (rule, bound):
        if one.forbid:
            said |= Forbids.ALWAYS if one.args is None else one.forbids
    return said or Forbids.WITH_ARGS


def _meaning(rule: CommandRule) -> tuple[object, ...]:
    args = None if rule.args is None else frozenset(rule.args)
    flags = (frozenset(rule.forbid), frozenset(rule.require))
    return (rule.program, args, rule.ask, rule.forbids, *flags)


def _program(one: str, other: str) -> str | None:
    """The name that stands for both; a path in a standard directory is narrower than its name."""
    for name, path in ((one, other), (other, one)):
        directory, base = posixpath.split(path)
        if name == path or (name == base and directory in STANDARD_DIRECTORIES):
            return path
    return None


def _args(one: Args, other: Args) -> Args:
    """Leading arguments that both permit: of two lists, the longer where it begins as the other."""
    if one is None or other is None:
        return other if one is None else one
    longer = (
        a if len(a) >= len(b) else b
        for a in one
        for b in other
        if a[: len(b)] == b or b[: len(a)] == a
    )
    return tuple(dict.fromkeys(longer))


def places(mine: Sequence[str], bounds: Sequence[str]) -> tuple[str, ...]:
    """Directories and files below both: of two entries the one that lies in the other."""
    found: dict[str, str] = {}
    for entry in mine:
        for bound in bounds:
            if within(normal(entry), normal(bound)):
                found.setdefault(normal(entry), entry)
            elif within(normal(bound), normal(entry)):
                found.setdefault(normal(bound), bound)
    return tuple(found.values())


def common(mine: Sequence[str], bounds: Sequence[str]) -> tuple[str, ...]:
    """Entries of the first list that stand in the second."""
    return tuple(entry for entry in mine if entry in bounds)


def either(mine: Sequence[str], bounds: Sequence[str]) -> tuple[str, ...]:
    """Entries of either list."""
    return tuple(dict.fromkeys((*mine, *bounds)))


def guarding(mine: Sequence[str], bounds: Sequence[str]) -> tuple[str, ...]:
    """gitignore patterns that match whatever either list matches.

    The last match counts there, so an exception (``!x``) in one list must not undo the other:
    those of `bounds` are left out beyond what both lists begin with, which at worst guards more.
    """
    shared = 0
    while shared < min(len(mine), len(bounds)) and mine[shared] == bounds[shared]:
        shared += 1
    if not _exceptions(mine):
        added = [pattern for pattern in bounds if pattern not in mine]
    elif not _exceptions(mine[shared:]):
        added = list(bounds[shared:])
    else:
        added = list(bounds)
    return (*mine, *(pattern for pattern in added if not pattern.startswith("!")))


def _exceptions(patterns: Sequence[str]) -> bool:
    return any(pattern.startswith("!") for pattern in patterns)


def both_matching(mine: Sequence[str], bounds: Sequence[str]) -> tuple[str, ...]:
    """gitignore patterns that match what both lists do; their exceptions all hold."""
    kept = [pattern for pattern in mine if pattern.startswith("!") or pattern in bounds]
    return (*kept, *(p for p in bounds if p.startswith("!") and p not in kept))
