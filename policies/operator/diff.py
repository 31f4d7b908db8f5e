"""What one policy allows that another does not: by meaning, not by text.

Owns the comparison of two composed policies. Programs are compared by asking both policies about
every way to begin a command that the rules of either tell apart, so order and spelling do not
count. Refuses to know images: what the rules are in the kernel is `kernel`'s.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

from policies.commands.verdicts import CommandOutcome, Rules
from policies.errors import Where
from policies.file.quantities import spelled_duration, spelled_size
from policies.paths import absolute, within
from policies.policy import CommandRule, History, Policy
from policies.shell.words import literal

_HISTORIES = (History.NONE, History.HEAD, History.FULL)
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

    def said(key: str, what: str) -> WiderPermission:
        return WiderPermission(key=key, what=what, where=policy.places.get(key, policy.where))

    found: list[WiderPermission] = [
        said("tools", f"the tool {tool}") for tool in policy.tools if tool not in than.tools
    ]
    found += (
        said("server_tools", f"the service's {tool}: text can leave this way")
        for tool in policy.server_tools
        if tool not in than.server_tools
    )
    found += _programs(than, policy)
    if policy.exec_workspace and not than.exec_workspace:
        found.append(said("exec_workspace", "programs and scripts of the workspace run"))
    found += (said(key, what) for key, what in _places(than, policy))
    found += (said(key, what) for key, what in _guards(than, policy))
    found += (said(key, what) for key, what in _amounts(than, policy))
    if policy.image != than.image:
        found.append(said("image", f"the image {policy.image} instead of {than.image}"))
    found += (
        said("env", f"commands see {name}={value!r}")
        for name, value in sorted(policy.env.items())
        if than.env.get(name) != value
    )
    return tuple(found)


def _places(than: Policy, policy: Policy) -> Iterator[tuple[str, str]]:
    for entry in _beyond(policy.paths.write, than.paths.write):
        yield "paths.write", f"writing to {entry}"
    if than.paths.read is not None:
        known = (*than.paths.read, *than.paths.write)
        if policy.paths.read is None:
            if _beyond((".",), known):
                yield "paths.read", "reading all of the workspace"
        else:
            for entry in _beyond((*policy.paths.read, *policy.paths.write), known):
                yield "paths.read", f"reading {entry}"
    for host in policy.setup.network:
        if host not in than.setup.network:
            yield "setup.network", f"reaching {host} while the image is set up"
    for command in policy.setup.commands:
        if command not in than.setup.commands:
            yield "setup.commands", f"running {command!r} while the image is set up"


def _beyond(entries: Iterable[str], known: Iterable[str]) -> list[str]:
    tops = [absolute(entry) for entry in known]
    return [
        entry
        for entry in dict.fromkeys(entries)
        if not any(within(absolute(entry), top) for top in tops)
    ]


def _guards(than: Policy, policy: Policy) -> Iterator[tuple[str, str]]:
    """Lists whose entries take away: what is missing allows more, and so does an exception."""
    for key, mine, before, says in (
        ("paths.protect", policy.paths.protect, than.paths.protect, "changes to {} pass the gate"),
        (
            "workspace.exclude",
            policy.workspace.exclude,
            than.workspace.exclude,
            "{} is copied into the container",
        ),
        ("export.refuse", policy.export.refuse, than.export.refuse, "a finding of {} is exported"),
    ):
        for item in before:
            if item not in mine and not item.startswith("!"):
                yield key, says.format(item)
        for item in mine:
            if item not in before and item.startswith("!"):
                yield key, says.format(item[1:])
        common = [item for item in mine if item in before]
        if "!" in "".join(item[:1] for item in common) and common != [
            item for item in before if item in mine
        ]:
            # The last match counts: in another order the exceptions reach another way.
            yield key, "its exceptions (`!`) stand in another order: compare them by eye"
    for item in policy.export.ignore:
        if item not in than.export.ignore and not item.startswith("!"):
            yield "export.ignore", f"new files {item} stay out of the patch, only listed"
    for item in than.export.ignore:
        if item not in policy.export.ignore and item.startswith("!"):
            yield "export.ignore", f"new files {item[1:]} stay out of the patch, only listed"


def _amounts(than: Policy, policy: Policy) -> Iterator[tuple[str, str]]:
    mine, before = policy.limits, than.limits
    for key, more_of, less, spelled in (
        ("limits.cpus", mine.cpus, before.cpus, _number),
        ("limits.memory", mine.memory_bytes, before.memory_bytes, _size),
        ("limits.pids", mine.pids, before.pids, _number),
        ("limits.disk", mine.disk_bytes, before.disk_bytes, _size),
        ("limits.command_timeout", mine.command_timeout_s, before.command_timeout_s, _time),
        ("limits.output", mine.output_bytes, before.output_bytes, _size),
        ("limits.time", mine.time_s, before.time_s, _time),
        ("budget.turns", policy.budget.turns, than.budget.turns, _number),
        ("budget.input_tokens", policy.budget.input_tokens, than.budget.input_tokens, _number),
        ("budget.output_tokens", policy.budget.output_tokens, than.budget.output_tokens, _number),
        ("workspace.max_bytes", policy.workspace.max_bytes, than.workspace.max_bytes, _size),
        ("export.max_bytes", policy.export.max_bytes, than.export.max_bytes, _size),
    ):
        if more_of > less:
            yield key, f"{spelled(more_of)} instead of {spelled(less)}"
    usd, bound = policy.budget.usd, than.budget.usd
    if bound is not None and (usd is None or usd > bound):
        yield "budget.usd", f"{'no bound' if usd is None else _number(usd)} instead of {bound:g}"
    history, known = policy.workspace.history, than.workspace.history
    if _HISTORIES.index(history) > _HISTORIES.index(known):
        yield "workspace.history", f"{history.value} history instead of {known.value}"


def _number(value: float) -> str:
    return f"{value:.12g}"


def _size(value: float) -> str:
    return spelled_size(int(value))


def _time(value: float) -> str:
    return spelled_duration(value)


# -- programs ------------------------------------------------------------------------------------

Begin = tuple[str, ...]


def _programs(than: Policy, policy: Policy) -> Iterator[WiderPermission]:
    mine, before = Rules(policy), Rules(than)
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
        for options in _option_sets(known, other):
            for begin in _begins(known, other):
                pair = _answers(mine, before, program, (*begin, *options))
                if pair is not None and pair != widened.get(begin):
                    words = (*begin, *options)
                    what = _said(program, words, pair, other)
                    yield WiderPermission(key="commands", what=what, where=where)
                    break
            else:
                continue
            break


def _answers(
    mine: Rules, before: Rules, program: str, words: Sequence[str]
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
