"""Removing what runs left behind: what is past its deadline, and what nobody has used for long.

Owns the rule of what may go. Containers of runs that may still be resumed stay until their
deadline; only what carries our label is ever looked at: of a container, one that it does not have
from its image; of an image, with one of our names, unless that was given to another since. What is
kept only so that it need not be made again (`sandbox.opening.stored`) has one budget: beyond it,
what was used least recently goes first.
"""

import contextlib
import time
from collections.abc import Callable

from policies.frozen import dataclass
from sandbox import supply
from sandbox.engine.docker import Engine
from sandbox.engine.values import (
    LABEL_DEADLINE,
    LABEL_LOWER,
    LABEL_MANAGED,
    LABEL_RUN,
    ContainerInfo,
    VolumeInfo,
)
from sandbox.errors import EngineError
from sandbox.opening.stored import LeftoverKind, StoredItem, stored

UNUSED_AGE_S = 7 * 24 * 3600
"""What no run has used for this long is removed."""
DEFAULT_BUDGET_BYTES = 20 << 30
_YOUNG_S = 600
"""What was used so recently may be what another process is about to open."""
_FILLING_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something of ours that stands."""

    kind: LeftoverKind
    id: str
    run: str = ""
    """The run it belonged to; empty where that is not known."""
    state: str = "stored"
    expired: bool
    """Whether it may be removed now."""
    deadline: float = 0.0
    """Until when a container stays, in s since the epoch."""
    own_bytes: int = 0
    """What goes with it, as far as that is known."""


def leftovers(engine: Engine, *, budget_bytes: int = DEFAULT_BUDGET_BYTES) -> tuple[Leftover, ...]:
    """Everything of ours that stands, expired or not: containers before what they use, images
    before those that they are made of.

    Args:
        budget_bytes: for all that can be made again; what it does not hold is expired.
    """
    now = time.time()
    found = [
        Leftover(
            kind=LeftoverKind.CONTAINER,
            id=row.id,
            run=supply.run_of(row.labels, row.name),
            state=row.state,
            expired=deadline < now or (supply.is_waiting(row) and supply.is_left(row.labels)),
            deadline=deadline,
        )
        for row in engine.containers(LABEL_DEADLINE)
        if (deadline := _deadline(row)) is not None
    ]
    found += [
        Leftover(
            kind=LeftoverKind.VOLUME,
            id=row.name,
            run=row.labels.get(LABEL_RUN, ""),
            # One that a container still has is refused by the engine.
            expired=(_deadline(row) or 0.0) < now or supply.is_left(row.labels),
        )
        for row in engine.volumes(LABEL_MANAGED)
        if LABEL_LOWER not in row.labels
    ]
    items = stored(engine)
    expired = _unused(items, now) | over_budget(items, budget_bytes, now)
    found += [
        Leftover(
            kind=item.kind,
            id=item.id,
            expired=item.id in expired,
            own_bytes=item.own_bytes,
        )
        for item in sorted(items, key=lambda item: len(item.above))
    ]
    return tuple(found)


def _unused(items: tuple[StoredItem, ...], now: float) -> set[str]:
    return {
        item.id
        for item in items
        if not item.named
        or item.last_use_s + UNUSED_AGE_S < now
        or (not item.finished and item.last_use_s + _FILLING_S < now)
    }


def over_budget(items: tuple[StoredItem, ...], budget_bytes: int, now: float) -> set[str]:
    """Ids of what has to go for the rest to fit: least recently used first, none that is young."""
    left = sum(item.own_bytes for item in items)
    gone: set[str] = set()
    # Of equal age: what is made of something else before that.
    for item in sorted(items, key=lambda item: (item.last_use_s, len(item.above))):
        if left <= budget_bytes or item.last_use_s + _YOUNG_S > now:
            break
        if item.above <= gone:
            gone.add(item.id)
            left -= item.own_bytes
    return gone


def prune(
    engine: Engine,
    *,
    everything: bool = False,
    budget_bytes: int = DEFAULT_BUDGET_BYTES,
    first: Callable[[Leftover], bool] = lambda _: True,
) -> tuple[Leftover, ...]:
    """Remove what is expired; with `everything`, all of it, running sandboxes too.

    Args:
        budget_bytes: as for `leftovers`.
        first: called with each before it is removed, to save what is in it; False keeps it.

    Gives what was removed. A snapshot or volume that a standing container uses stays.
    """
    removed = []
    for item in leftovers(engine, budget_bytes=budget_bytes):
        if not (item.expired or everything):
            continue
        if not first(item):
            continue
        with contextlib.suppress(EngineError):
            match item.kind:
                case LeftoverKind.CONTAINER:
                    engine.remove(item.id)
                case LeftoverKind.VOLUME:
                    engine.remove_volume(item.id)
                case _:
                    engine.remove_image(item.id)
            removed.append(item)
    return tuple(removed)


def _deadline(row: ContainerInfo | VolumeInfo) -> float | None:
    """None where none is said."""
    try:
        return float(row.labels[LABEL_DEADLINE])
    except (KeyError, ValueError):
        return None
