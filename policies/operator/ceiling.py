"""A ceiling: an operator's policy that no other policy exceeds.

What a ceiling says bounds that key; what it (with all that it extends) leaves out, it does not
bound: there, unlike in a policy, absent means no limit, and an empty list still means nothing.
What holds is what both allow:

    tools, server_tools, commands (program, args, ask), paths, setup, env     what stands in both
    limits, budget, max_bytes, history, exec_workspace          the lesser
    workspace.exclude, paths.protect, export.refuse             what either guards
    export.ignore                                               what both leave out
    image                                                       that one only, or an error

A ceiling that says ``paths.read`` and not ``paths.write`` bounds both by it: what may be written
may be read. Several ceilings all hold. Refuses to know where an operator keeps one (the CLI).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from policies.errors import PolicyError, Where
from policies.file.compose import ComposedKeys, gather
from policies.file.quantities import spelled_duration, spelled_size
from policies.loading import written_chain
from policies.operator import ceiling_intersection
from policies.policy import (
    BudgetLimits,
    CeilingBounds,
    CommandRule,
    ContainerLimits,
    ExportRules,
    History,
    NarrowedKey,
    PathRules,
    Policy,
    SetupRules,
    WorkspaceRules,
)

_HISTORIES = (History.NONE, History.HEAD, History.FULL)
_MAX_NAMED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    name: str
    where: Where
    """Its file."""
    said: ComposedKeys


def load_ceiling(name_or_path: str, *, directory: Path | None = None) -> Ceiling:
    """A ceiling, found as a policy is.

    Raises:
        PolicyError: there is none, or it can't be used.
    """
    layers = written_chain(name_or_path, directory=directory)
    said = gather(layers)
    leaf = layers[-1]
    return Ceiling(name=leaf.model.name, where=Where(file=leaf.document.file, line=0), said=said)


def under(policy: Policy, ceilings: Sequence[Ceiling]) -> Policy:
    """The policy with everything that exceeds a ceiling cut off.

    Raises:
        PolicyError: they name different images.
    """
    for ceiling in ceilings:
        policy = _under(policy, ceiling)
    return policy


def in_words(policy: Policy) -> str | None:
    """What its ceilings narrow, on one line; None: nothing stands over it."""
    if policy.bounds is None:
        return None
    files = ", ".join(dict.fromkeys(c.where.file for c in policy.bounds.ceilings))
    changes = "; ".join(f"{n.key} {n.change}" for n in policy.bounds.narrowings)
    return f"the ceiling {files} narrows policy {policy.name}: {changes or 'nothing'}"


def _under(policy: Policy, ceiling: Ceiling) -> Policy:
    said = ceiling.said
    image = said.scalars.get("image")
    if image is not None and image != policy.image:
        raise PolicyError(
            f"the ceiling allows the image {image} only, and policy {policy.name} names "
            f"{policy.image} ({policy.places.get('image', policy.where)})",
            where=said.places["image"],
            key="image",
        )
    work = _Intersection(policy, said)
    narrowed = replace(
        policy,
        tools=work.items("tools", policy.tools, ceiling_intersection.common),
        server_tools=work.items("server_tools", policy.server_tools, ceiling_intersection.common),
        commands=work.commands(),
        exec_workspace=work.least("exec_workspace", policy.exec_workspace, _yes_or_no),
        paths=work.paths(),
        workspace=work.workspace(),
        setup=SetupRules(
            commands=work.items(
                "setup.commands", policy.setup.commands, ceiling_intersection.common
            ),
            network=work.items("setup.network", policy.setup.network, ceiling_intersection.common),
        ),
        env=work.env(),
        limits=work.limits(),
        budget=work.budget(),
        export=ExportRules(
            max_bytes=work.least("export.max_bytes", policy.export.max_bytes, spelled_size),
            refuse=work.items("export.refuse", policy.export.refuse, ceiling_intersection.either),
            ignore=work.items(
                "export.ignore", policy.export.ignore, ceiling_intersection.leaving_out
            ),
        ),
    )
    bounds = policy.bounds or CeilingBounds(before=policy, ceilings=(), narrowings=())
    return replace(
        narrowed,
        places={**policy.places, **{n.key: n.by for n in work.narrowings}},
        bounds=CeilingBounds(
            before=bounds.before,
            ceilings=(*bounds.ceilings, _as_policy(policy, ceiling)),
            narrowings=(*bounds.narrowings, *work.narrowings),
        ),
    )


def _as_policy(policy: Policy, ceiling: Ceiling) -> Policy:
    """A ceiling with what the policy says wherever it says nothing: there, it denies nothing."""
    said = ceiling.said
    bound = _written(said)
    return replace(
        policy,
        name=ceiling.name,
        where=ceiling.where,
        tools=said.lists.get("tools", policy.tools),
        server_tools=said.lists.get("server_tools", policy.server_tools),
        commands=policy.commands if said.commands is None else said.commands,
        exec_workspace=said.scalars.get("exec_workspace", policy.exec_workspace),
        paths=PathRules(
            write=policy.paths.write if bound is None else bound,
            read=said.lists.get("paths.read"),
            protect=policy.paths.protect,
        ),
        places={**policy.places, **said.places},
        bounds=None,
    )


def _written(said: ComposedKeys) -> tuple[str, ...] | None:
    return said.lists.get("paths.write", said.lists.get("paths.read"))


class _Intersection:
    """One policy under one ceiling: the narrower value of each key, and what became narrower."""

    def __init__(self, policy: Policy, said: ComposedKeys) -> None:
        self._policy = policy
        self._said = said
        self.narrowings: list[NarrowedKey] = []

    def _narrow(self, key: str, change: str, *, said_as: str = "") -> None:
        by = self._said.places[said_as or key]
        self.narrowings.append(NarrowedKey(key=key, change=change, by=by))

    def least(self, key: str, mine: Any, spelled: Callable[[Any], str]) -> Any:
        """The smaller of two values of one key."""
        bound = self._said.scalars.get(key)
        if bound is None or mine <= bound:
            return mine
        self._narrow(key, f"{spelled(mine)} becomes {spelled(bound)}")
        return type(mine)(bound)

    def items(
        self,
        key: str,
        mine: tuple[str, ...],
        meet: Callable[[Sequence[str], Sequence[str]], tuple[str, ...]],
    ) -> tuple[str, ...]:
        bound = self._said.lists.get(key)
        if bound is None:
            return mine
        met = meet(mine, bound)
        self._tell_items(key, mine, met)
        return met

    def _tell_items(
        self, key: str, mine: Sequence[str], met: Sequence[str], *, said_as: str = ""
    ) -> None:
        lost = [item for item in mine if item not in met]
        new = [item for item in met if item not in mine]
        changes = [f"without {_named(lost)}"] if lost else []
        changes += [f"with {_named(new)}"] if new else []
        if changes:
            self._narrow(key, ", ".join(changes), said_as=said_as)

    def commands(self) -> tuple[CommandRule, ...]:
        mine, bound = self._policy.commands, self._said.commands
        if bound is None:
            return mine
        met = ceiling_intersection.rules(mine, bound)
        kept = {rule.program for rule in met}
        lost = list(dict.fromkeys(rule.program for rule in mine if rule.program not in kept))
        # Rules of programs that stay in part.
        less = [rule for rule in met if rule not in mine]
        changes = [f"without {_named(lost)}"] if lost else []
        if less:
            programs = list(dict.fromkeys(rule.program for rule in less))
            changes.append(f"less of {_named(programs)}")
        if changes:
            self._narrow("commands", ", ".join(changes))
        return met

    def paths(self) -> PathRules:
        paths, lists = self._policy.paths, self._said.lists
        bound = _written(self._said)
        write = paths.write if bound is None else ceiling_intersection.places(paths.write, bound)
        said_as = "paths.write" if "paths.write" in lists else "paths.read"
        self._tell_items("paths.write", paths.write, write, said_as=said_as)
        read = paths.read
        # What may be written may be read: it still may where only writing is bounded.
        mine = ("/",) if read is None else tuple(dict.fromkeys((*read, *paths.write)))
        if "paths.read" in lists:
            readable = (*lists["paths.read"], *lists.get("paths.write", ()))
            bounded = ceiling_intersection.places(mine, readable)
            if read is None:
                self._narrow("paths.read", f"everything becomes {_named(bounded)}")
            else:
                self._tell_items("paths.read", mine, bounded)
            read = bounded
        elif read is not None and write != paths.write:
            read = mine
        return PathRules(
            write=write,
            read=read,
            protect=self.items("paths.protect", paths.protect, ceiling_intersection.guarding),
        )

    def workspace(self) -> WorkspaceRules:
        mine = self._policy.workspace
        history = mine.history
        bound = self._said.scalars.get("workspace.history")
        if bound is not None and _HISTORIES.index(History(bound)) < _HISTORIES.index(history):
            self._narrow("workspace.history", f"{history.value} becomes {History(bound).value}")
            history = History(bound)
        return WorkspaceRules(
            exclude=self.items("workspace.exclude", mine.exclude, ceiling_intersection.guarding),
            history=history,
            max_bytes=self.least("workspace.max_bytes", mine.max_bytes, spelled_size),
        )

    def env(self) -> Mapping[str, str]:
        bound = self._said.env
        if bound is None:
            return self._policy.env
        mine = self._policy.env
        met = {name: value for name, value in mine.items() if bound.get(name) == value}
        self._tell_items("env", list(mine), list(met))
        return met

    def limits(self) -> ContainerLimits:
        mine = self._policy.limits
        return ContainerLimits(
            cpus=self.least("limits.cpus", mine.cpus, _number),
            memory_bytes=self.least("limits.memory", mine.memory_bytes, spelled_size),
            pids=self.least("limits.pids", mine.pids, _number),
            disk_bytes=self.least("limits.disk", mine.disk_bytes, spelled_size),
            command_timeout_s=self.least(
                "limits.command_timeout", mine.command_timeout_s, spelled_duration
            ),
            output_bytes=self.least("limits.output", mine.output_bytes, spelled_size),
            time_s=self.least("limits.time", mine.time_s, spelled_duration),
        )

    def budget(self) -> BudgetLimits:
        mine = self._policy.budget
        usd, bound = mine.usd, self._said.scalars.get("budget.usd")
        if bound is not None and (usd is None or usd > bound):
            was = "no bound" if usd is None else _number(usd)
            self._narrow("budget.usd", f"{was} becomes {_number(bound)}")
            usd = float(bound)
        return BudgetLimits(
            turns=self.least("budget.turns", mine.turns, _number),
            input_tokens=self.least("budget.input_tokens", mine.input_tokens, _number),
            output_tokens=self.least("budget.output_tokens", mine.output_tokens, _number),
            usd=usd,
        )


def _named(items: Sequence[str]) -> str:
    rest = len(items) - _MAX_NAMED
    shown = ", ".join(items[:_MAX_NAMED]) or "nothing"
    return shown + (f" and {rest} more" if rest > 0 else "")


def _number(value: float) -> str:
    return f"{value:.12g}"


def _yes_or_no(value: bool) -> str:  # noqa: FBT001 - spells one
    return str(value).lower()
