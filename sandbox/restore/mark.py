"""A moment of a workspace copy that can be gone back to, and what came of going back: values only.

A mark holds everything that a patch can carry, and beside it enough to tell, when the copy is put
back, what else has changed since and stays as it is.
"""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from policies.frozen import dataclass
from sandbox.git.manifest import ManifestEntry
from sandbox.patch.values import LeftOut

USUAL_MODE = 0o755
"""Permission bits of a directory, unless a mark says other ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedDirectory:
    """A directory that is empty, holds a ``.git``, or has another mode than most."""

    mode: int
    """Permission bits."""
    empty: bool
    repository: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What stood in a workspace copy at a moment. Paths relative to the workspace."""

    store: Path
    """Where the content of what is in `changed` is kept."""
    changed: Mapping[bytes, ManifestEntry | None] = field(default_factory=dict)
    """Everything that was not as in the baseline; None: gone."""
    missed: frozenset[bytes] = frozenset()
    """Files that stood there and whose content was not kept: they were too large."""
    modes: Mapping[bytes, int] = field(default_factory=dict)
    """Permission bits of what had changed since the start, where they are known; else git's two."""
    times: Mapping[bytes, int] = field(default_factory=dict)
    """When each path that had changed since the start did so, in ns by the container's clock. What
    has the same time later is as it was."""
    folders: Mapping[bytes, MarkedDirectory] | None = None
    """None: it is not known which directories were empty."""
    special: frozenset[bytes] = frozenset()
    """Sockets, pipes and devices."""
    ignored: Mapping[bytes, int] = field(default_factory=dict)
    """When each ignored path that had changed since the start did so, in ns; 0: it was gone."""
    unkept: str | None = None
    """Why nothing is known, and nothing can be gone back to; None where it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What came of going back to a mark."""

    back: tuple[bytes, ...] = ()
    """Files and links that were given their content, their mode or their existence again."""
    removed: tuple[bytes, ...] = ()
    """Files and links that were not there at the mark."""
    ended: int = 0
    """Processes that still ran, and were ended first."""
    left: tuple[LeftOut, ...] = ()
    """What has changed since the mark and is not gone back: ignored files, what was too large to be
    kept. At most 200; the last one says how many more."""
    differing: tuple[LeftOut, ...] = ()
    """What should be as at the mark and, by a new look, is not. Empty: the state is the mark's."""
