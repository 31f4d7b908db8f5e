"""A person's answer to a policy's ``ask``, bound to the exact call by its digest."""

from collections.abc import Callable

from policies.decision import Ask, Call
from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    digest: str
    """Digest of the call that was shown: an answer counts for no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedBefore:
    """Approved without being asked again: a person said so, for this exact call."""

    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    reason: str


Answered = Approved | ApprovedBefore | Declined
Approve = Callable[[Call, Ask], Answered]


def nobody_to_ask(_call: Call, _ask: Ask) -> Declined:
    """For runs without a terminal."""
    return Declined(
        reason="it needs a person's approval, and nobody can be asked in this run: do without"
    )
