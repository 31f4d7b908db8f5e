"""A ceiling: an operator's policy that no other policy exceeds.

What a ceiling says bounds that key; what it (with all that it extends) leaves out, it does not
bound: there, unlike in a policy, absent means no limit, and an empty list still means nothing.
What holds is what both allow:

    tools, server_tools, commands (program, args, ask), paths, setup, env     what stands in both
    limits, budget, max_bytes, history, exec_workspace          the lesser
    workspace.exclude, .secrets, paths.protect, export.refuse   what either guards
    export.ignore, export.include                               what both leave out, or take in
    image                                                       that one only, or an error
    review.model, review.require                                the ceiling's, where it says one

A ceiling that says ``paths.read`` and not ``paths.write`` bounds both by it: what may be written
may be read. Several ceilings all hold. Refuses to know where an operator keeps one (the CLI).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from policies.errors import PolicyError, Where, listed
from policies.file.compose import ComposedKeys, gather
from policies.file.keys import KEYS, BoundKey, Combination, PolicyKey, fields_of, values_of
from policies.frozen import dataclass
from policies.loading import Accept, chain
from policies.operator import ceiling_intersection
from policies.policy import CeilingBounds, CommandRule, NarrowedKey, Policy

_named = partial(listed, most=6, empty="nothing")
_COMBINED = {
    Combination.COMMON: ceiling_intersection.common,
    Combination.EITHER: ceiling_intersection.either,
    Combination.PATTERNS: ceiling_intersection.guarding,
    Combination.COMMON_PATTERNS: ceiling_intersection.both_matching,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    name: str
    where: Where
    """Its file."""
    said: ComposedKeys


def load_ceiling(
    name_or_path: str, *, directory: Path | None = None, accept: Accept | None = None
) -> Ceiling:
    """A ceiling, found and read as a policy is (`policies.loading.load`).

    Raises:
        PolicyError: there is none, or it can't be used.
    """
    layers = chain(name_or_path, directory=directory, accept=accept)
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


def _under(policy: Policy, ceiling: Ceiling) -> Policy:
    said = ceiling.said
    narrowing = _Narrowing(policy, said)
    narrowed = replace(policy, **fields_of({key.path: narrowing.value(key) for key in KEYS}))
    bounds = policy.bounds or CeilingBounds(before=policy, ceilings=(), narrowings=())
    return replace(
        narrowed,
        places={**policy.places, **{n.key: n.by for n in narrowing.narrowings}},
        bounds=CeilingBounds(
            before=bounds.before,
            ceilings=(*bounds.ceilings, _as_policy(policy, ceiling)),
            narrowings=(*bounds.narrowings, *narrowing.narrowings),
        ),
    )


def _as_policy(policy: Policy, ceiling: Ceiling) -> Policy:
    """A ceiling with what the policy says wherever it says nothing: there, it denies nothing."""
    said = ceiling.said
    values = {
        **values_of(policy),
        **said.values,
        "paths.read": said.values.get("paths.read"),
    }
    bound = _written(said)
    if bound is not None:
        values["paths.write"] = bound
    return replace(
        policy,
        name=ceiling.name,
        where=ceiling.where,
        places={**policy.places, **said.places},
        bounds=None,
        **fields_of(values),
    )


def _written(said: ComposedKeys) -> tuple[str, ...] | None:
    """Where a ceiling lets be written: what it lets be read, where it does not say."""
    found: tuple[str, ...] | None = said.values.get("paths.write", said.values.get("paths.read"))
    return found


class _Narrowing:
    """One policy under one ceiling: the narrower value of each key, and what became narrower."""

    def __init__(self, policy: Policy, said: ComposedKeys) -> None:
        self._policy = policy
        self._said = said
        self.narrowings: list[NarrowedKey] = []
        self._own: Mapping[str, Callable[[Any, Any], Any]] = {
            "image": self._image,
            "commands": self._commands,
            "paths.write": self._writable,
            "paths.read": self._readable,
            "env": self._environment,
            "review.model": self._reviewer,
        }

    def value(self, key: PolicyKey) -> Any:
        """What holds for a key under both.

        Raises:
            PolicyError: policy and ceiling name different images.
        """
        mine, bound = key.of(self._policy), self._said.values.get(key.path)
        own = self._own.get(key.path)
        if own is not None:
            return own(mine, bound)
        if bound is None:
            return mine
        if isinstance(key, BoundKey):
            if not key.exceeds(mine, bound):
                return mine
            self._narrow(key.path, f"{key.spelled(mine)} becomes {key.spelled(bound)}")
            return bound
        combined = _COMBINED[key.combination](mine, bound)
        self._tell_items(key.path, mine, combined)
        return combined

    def _narrow(self, key: str, change: str, *, said_as: str = "") -> None:
        by = self._said.places[said_as or key]
        self.narrowings.append(NarrowedKey(key=key, change=change, by=by))

    def _tell_items(
        self, key: str, mine: Sequence[object], met: Sequence[object], *, said_as: str = ""
    ) -> None:
        lost = [item for item in mine if item not in met]
        new = [item for item in met if item not in mine]
        changes = [f"without {_named(lost)}"] if lost else []
        changes += [f"with {_named(new)}"] if new else []
        if changes:
            self._narrow(key, ", ".join(changes), said_as=said_as)

    def _image(self, mine: str, bound: str | None) -> str:
        if bound in {None, mine}:
            return mine
        raise PolicyError(
            f"the ceiling allows the image {bound} only, and policy {self._policy.name} names "
            f"{mine} ({self._policy.places.get('image', self._policy.where)})",
            where=self._said.places["image"],
            key="image",
        )

    def _reviewer(self, mine: str | None, bound: str | None) -> str | None:
        """Of two reviewers the ceiling's: another one might be easier to please."""
        if bound in {None, mine}:
            return mine
        self._narrow("review.model", f"{mine or 'nobody'} becomes {bound}")
        return bound

    def _environment(
        self, mine: Mapping[str, str], bound: Mapping[str, str] | None
    ) -> Mapping[str, str]:
        if bound is None:
            return mine
        met = {name: value for name, value in mine.items() if bound.get(name) == value}
        self._tell_items("env", list(mine), list(met))
        return met

    def _commands(
        self, mine: tuple[CommandRule, ...], bound: tuple[CommandRule, ...] | None
    ) -> tuple[CommandRule, ...]:
        if bound is None:
            return mine
        met = ceiling_intersection.rules(mine, bound)
        kept = {rule.program for rule in met}
        lost = list(dict.fromkeys(rule.program for rule in mine if rule.program not in kept))
        # Rules of programs that stay in part.
        less = list(dict.fromkeys(rule.program for rule in met if rule not in mine))
        changes = [f"without {_named(lost)}"] if lost else []
        changes += [f"less of {_named(less)}"] if less else []
        if changes:
            self._narrow("commands", ", ".join(changes))
        return met

    def _writable(self, mine: tuple[str, ...], _: object) -> tuple[str, ...]:
        bound = _written(self._said)
        if bound is None:
            return mine
        met = ceiling_intersection.places(mine, bound)
        said_as = "paths.write" if "paths.write" in self._said.values else "paths.read"
        self._tell_items("paths.write", mine, met, said_as=said_as)
        return met

    def _readable(self, read: tuple[str, ...] | None, _: object) -> tuple[str, ...] | None:
        """What may be written may be read: it still may where only writing is bounded."""
        write, said = self._policy.paths.write, self._said.values
        mine = ("/",) if read is None else tuple(dict.fromkeys((*read, *write)))
        if "paths.read" in said:
            bounded = ceiling_intersection.places(
                mine, (*said["paths.read"], *said.get("paths.write", ()))
            )
            if read is None:
                self._narrow("paths.read", f"everything becomes {_named(bounded)}")
            else:
                self._tell_items("paths.read", mine, bounded)
            return bounded
        narrowed = any(narrowing.key == "paths.write" for narrowing in self.narrowings)
        return mine if read is not None and narrowed else read
