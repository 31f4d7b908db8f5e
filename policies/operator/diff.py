"""What one policy allows that another does not: by meaning, not by text.

Owns the comparison of two composed policies. Programs are compared by asking both policies about
every way to begin a command that the rules of either tell apart, so order and spelling do not
count. Refuses to know images: what the rules are in the kernel is `kernel`'s.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, combinations, islice
from typing import Any

from policies.commands.rules import CommandOutcome, CommandRules
from policies.errors import Where
from policies.file.keys import KEYS, BoundKey, PolicyKey
from policies.frozen import dataclass
from policies.paths import normal, within_any
from policies.policy import CommandRule, Policy
from policies.shell.words import literal

_ALLOWED = {
    "tools": "the tool {}",
    "server_tools": "the service's {}: text can leave this way",
    "setup.network": "reaching {} in set-up",
    "setup.commands": "running {!r} in set-up",
    "setup.secrets": "the variable {} in set-up",
    "services": "the service {}",
    "setup.prepare": "running {!r} before the agent begins",
}
"""Lists whose entries each allow something, and what."""
_GUARDED = {
    "paths.protect": "changes to {} pass the gate",
    "workspace.exclude": "{} is copied into the container",
    "workspace.secrets": "{} is copied into the container, whatever it holds",
    "export.refuse": "a finding of {} is exported",
}
"""Lists whose entries each guard something, and what happens without."""
_MATCHED = {
    "setup.inputs": "set-up sees files {}",
    "export.ignore": "new files {} stay out of the patch, only listed",
    "export.include": "ignored files {} go into the patch",
}
"""Lists whose patterns each allow something of what they match, and what."""
_RANKS = {CommandOutcome.DENY: 0, CommandOutcome.ASK: 1, CommandOutcome.ALLOW: 2}
_OTHER = "moonpool-any-other-argument"
"""Stands for every argument that no rule names."""
_ALL_SUBSETS = 6
"""Up to so many options all their combinations are tried, beyond that those of three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WiderPermission:
    """One thing that a policy allows beyond another."""

    key: str
    what: str
    where: Where
    """Where the wider policy says so, or does not."""


def more(than: Policy, policy: Policy) -> tuple[WiderPermission, ...]:
    """What `policy` allows that `than` does not; empty: nothing."""
    found: list[WiderPermission] = []
    for key in KEYS:
        where = policy.places.get(key.path, policy.where)
        match key.path:
            case "commands":
                found += _programs(than, policy)
                continue
            case "paths.read":
                wider = _readable(than, policy)
            case _:
                wider = _wider(key, key.of(policy), key.of(than))
        found += [WiderPermission(key=key.path, what=what, where=where) for what in wider]
    return tuple(found)


def _wider(key: PolicyKey, mine: Any, before: Any) -> Iterator[str]:
    """What the value of one key allows that the value before it does not."""
    if isinstance(key, BoundKey) and key.exceeds(mine, before):
        if key.path == "exec_workspace":
            yield "programs and scripts of the workspace run"
        elif key.path == "review.require":
            yield "a patch is exported without a reviewer's approval"
        else:
            yield f"{key.spelled(mine)} instead of {key.spelled(before)}"
    elif key.path == "image" and mine != before:
        yield f"the image {mine} instead of {before}"
    elif key.path == "review.model" and before is not None and mine != before:
        yield "no second opinion" if mine is None else f"the opinion of {mine} instead of {before}"
    elif key.path == "env":
        new = sorted(name for name in mine if before.get(name) != mine[name])
        yield from (f"commands see {name}={mine[name]!r}" for name in new)
    elif key.path == "paths.write":
        yield from (f"writing to {entry}" for entry in _beyond(mine, before))
    elif key.path in _ALLOWED:
        yield from (_ALLOWED[key.path].format(item) for item in mine if item not in before)
    elif key.path in _GUARDED:
        yield from _unguarded(mine, before, _GUARDED[key.path])
    elif key.path in _MATCHED:
        # What is listed is matched, and an exception to that is not.
        new = [item for item in mine if item not in before and not item.startswith("!")]
        new += [item[1:] for item in before if item not in mine and item.startswith("!")]
        yield from (_MATCHED[key.path].format(item) for item in new)


def _readable(than: Policy, policy: Policy) -> Iterator[str]:
    if than.paths.read is None:
        return
    known = (*than.paths.read, *than.paths.write)
    if policy.paths.read is not None:
        for entry in _beyond((*policy.paths.read, *policy.paths.write), known):
            yield f"reading {entry}"
    elif _beyond((".",), known):
        yield "reading all of the workspace"


def _unguarded(mine: Sequence[str], before: Sequence[str], says: str) -> Iterator[str]:
    """Of a list whose entries take away: what is missing allows more, and so does an exception."""
    for item in before:
        if item not in mine and not item.startswith("!"):
            yield says.format(item)
    for item in mine:
        if item not in before and item.startswith("!"):
            yield says.format(item[1:])
    common = [item for item in mine if item in before]
    reordered = common != [item for item in before if item in mine]
    if reordered and any(item.startswith("!") for item in common):
        # The last match counts: in another order the exceptions reach another way.
        yield "its exceptions (`!`) stand in another order: compare them by eye"


def _beyond(entries: Iterable[str], known: Iterable[str]) -> list[str]:
    tops = [normal(entry) for entry in known]
    return [entry for entry in dict.fromkeys(entries) if not within_any(normal(entry), tops)]


# -- programs ------------------------------------------------------------------------------------

Begin = tuple[str, ...]


def _programs(than: Policy, policy: Policy) -> Iterator[WiderPermission]:
    mine, before = CommandRules(policy), CommandRules(than)
    for program in dict.fromkeys(rule.program for rule in policy.commands):
        known = [rule for rule in policy.commands if rule.program == program]
        other = [rule for rule in than.commands if _may_match(rule, program)]
        where = known[0].where
        widened: dict[Begin, tuple[CommandOutcome, CommandOutcome]] = {}
        for begin in _begins(known, other):
            pair = _answers(mine, before, program, begin)
            if pair is None:
                continue
            above = widened.get(begin[:-1]) if begin else None
            widened[begin] = pair
            if above != pair:
                yield WiderPermission(
                    key="commands", what=_said(program, begin, pair, other), where=where
                )
        if () in widened and len(set(widened.values())) == 1 and not other:
            continue
        with_options = (
            _said(program, (*begin, *options), pair, other)
            for options in _option_sets(known, other)
            for begin in _begins(known, other)
            if (pair := _answers(mine, before, program, (*begin, *options)))
            and pair != widened.get(begin)
        )
        for what in islice(with_options, 1):
            yield WiderPermission(key="commands", what=what, where=where)


def _answers(
    mine: CommandRules, before: CommandRules, program: str, words: Sequence[str]
) -> tuple[CommandOutcome, CommandOutcome] | None:
    """What both say of a command that begins so, where the first allows more.

    With an argument that no rule names, and with none: a rule on flags may refuse what it can't
    read, and then only the shorter command tells.
    """
    for rest in ((_OTHER,), ()):
        arguments = [literal(word) for word in (*words, *rest)]
        now = mine.program(program, arguments).outcome
        was = before.program(program, arguments).outcome
        if _RANKS[now] > _RANKS[was]:
            return was, now
    return None


def _may_match(rule: CommandRule, program: str) -> bool:
    return rule.program.rpartition("/")[2] == program.rpartition("/")[2]


def _begins(mine: Sequence[CommandRule], other: Sequence[CommandRule]) -> list[Begin]:
    """Every way to begin the arguments that some rule tells apart, the shorter first."""
    lists = [wanted for rule in (*mine, *other) for wanted in rule.args or ()]
    found = {wanted[:length] for wanted in lists for length in range(len(wanted) + 1)}
    return sorted({(), *found}, key=lambda begin: (len(begin), begin))


def _option_sets(
    mine: Sequence[CommandRule], other: Sequence[CommandRule]
) -> Iterator[tuple[str, ...]]:
    """Combinations of the options that rules forbid or require, the smaller first."""
    named = list(
        dict.fromkeys(
            option for rule in (*mine, *other) for option in (*rule.forbid, *rule.require)
        )
    )
    most = len(named) if len(named) <= _ALL_SUBSETS else 3
    sizes = (combinations(named, size) for size in range(1, most + 1))
    yield from chain.from_iterable(sizes)
    for rule in mine:
        # Everything a rule lets stand, at once.
        yield tuple(name for name in named if name not in rule.forbid)


def _said(
    program: str,
    begin: Sequence[str],
    pair: tuple[CommandOutcome, CommandOutcome],
    other: Sequence[CommandRule],
) -> str:
    was, now = pair
    words = " ".join((program, *begin))
    if not begin:
        words = f"{program} with {'other' if other else 'any'} arguments"
    if was is CommandOutcome.ASK:
        return f"{words}, without asking a person"
    return f"{words}, after asking a person" if now is CommandOutcome.ASK else words
